"""The Dockerfiles: no root, no secret, nothing outside the build context; and the two scripts that go with them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import StoreDown
from services.runtime.http import create_app
from services.runtime.lifecycle import Site, serve

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
FROM_CONTEXT = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)


def requirements(extra: str) -> subprocess.CompletedProcess[str]:
    with (ROOT / "pyproject.toml").open() as project:
        command = [sys.executable, str(IMAGES / "requirements.py"), extra]
        return subprocess.run(command, stdin=project, capture_output=True, text=True, check=False)


def names(lines: str) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in lines.splitlines()}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_ends_as_a_numbered_user_that_is_not_root(dockerfile: Path) -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", dockerfile.read_text(), re.MULTILINE)
    assert users == [("10001", "10001")]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_copies_only_what_the_build_context_holds(dockerfile: Path) -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {source for line in FROM_CONTEXT.findall(dockerfile.read_text()) for source in line.split()}
    assert copied - {"."} <= allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_build_context_begins_empty() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"


def test_the_light_image_has_no_torch_and_the_engine_has_all_of_the_light_one() -> None:
    light, engine = names(requirements("catalog").stdout), names(requirements("model").stdout)
    assert {"fastapi", "redis", "pyarrow"} <= light
    assert "torch" not in light
    assert light < engine
    assert {"torch", "safetensors", "scikit-learn"} <= engine
    assert "rankgr" not in engine


def test_an_extra_that_is_none_ends_the_build() -> None:
    assert requirements("everything").returncode != 0


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
