"""`make compose-test`: the stack of docker-compose.yml for real, from its images to nothing left behind.

Builds, starts, walks a user through trigger, retrieve and interactions until the trainer's next bundle serves, kills
every service, tries bad input, and writes down what came of it.  Exit code 1 where something was not as it should be.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from loadtest.report import HEAD
from services.runtime.embedded_redis import free_port
from tests.deploy.compose.bad_input import BadInput, port_in_use
from tests.deploy.compose.containers import ROOT, NotInTime, Stack, wait_for
from tests.deploy.compose.keys import Keys
from tests.deploy.compose.kills import Kills
from tests.deploy.compose.shop import Page, Shop, requests
from tests.deploy.compose.transcript import Transcript
from tests.deploy.compose.watchers import Watchers

ENGINES = {"vllm-cpu": "engine", "small": "engine-small", "gpu": "engine-gpu"}
ONE_SHOT = ("topics", "bundle", "engine-ready")
OURS = ("trigger", "history", "precompute", "retrieval", "samples", "trainer", "console")
THEIRS = ("cache", "kafka", "prometheus", "grafana")
SHOPPERS = 8
FIRST_WITHIN_S, MOVED_WITHIN_S, NEXT_BUNDLE_WITHIN_S = 60.0, 60.0, 600.0
# A marketplace that is built in a minute, and samples and bundles that come within seconds.
QUICK = {
    "BUNDLE_USERS": "300",
    "BUNDLE_ITEMS": "300",
    "BUNDLE_PRESET": "micro",
    "SAMPLES_WINDOW_S": "6",
    "SAMPLES_GAP_S": "3",
    "SAMPLES_LATENESS_S": "2",
    "TRAINER_PUBLISH_EVERY_S": "20",
    "TRAINER_CHECKPOINT_EVERY_S": "5",
    "TRAINER_LOOK_EVERY_S": "2",
}


@dataclass(frozen=True, slots=True)
class More:
    """What is tried beyond the plain stack: keys, a bundle of one's own, so many seconds of the load test."""

    keys: Keys | None = None
    given: Path | None = None
    load_s: int = 0

    @property
    def key(self) -> str | None:
        """What a visitor shows, too."""
        return self.keys.own if self.keys is not None else None

    @property
    def variables(self) -> Mapping[str, str]:
        """What docker-compose.yml is told."""
        told = dict(self.keys.variables) if self.keys is not None else {}
        return told | ({"BUNDLE_FROM": str(self.given.resolve())} if self.given is not None else {})


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of everything."""

    stack: Stack
    shop: Shop
    watchers: Watchers
    transcript: Transcript
    without: frozenset[str]
    broker_forgets: bool
    more: More
    kills: bool

    @property
    def engine(self) -> str:
        return ENGINES[self.stack.profile]

    @property
    def lasting(self) -> list[str]:
        """What runs all the time."""
        return [name for name in (*THEIRS[:2], *OURS, self.engine, *THEIRS[2:]) if name not in self.without]

    def __call__(self, build: bool) -> None:
        if build:
            self._build()
        self.transcript.section("Up")
        port_in_use(self.stack, self.transcript)
        self._up()
        self._rights()
        self._journey()
        self.watchers(self.without)
        if self.more.load_s:
            self._load(self.more.load_s)
        if self.more.keys is not None:
            self.more.keys(self.shop, self.watchers.console_url, self.transcript)
        if self.kills:
            self._kills()

    def _kills(self) -> None:
        helper = self.stack.containers("trigger")[0].image
        kill = Kills(self.stack, self.shop, self.transcript, helper, self.broker_forgets, requests("after"))
        kill(self.lasting)
        BadInput(self.stack, self.transcript, self.engine)()

    def _build(self) -> None:
        self.transcript.section("Images")
        began_s = time.monotonic()
        words = ("--profile", "load", "build", "load") if self.more.load_s else ("build",)
        said = self.stack.run(*words, "trigger", "trainer", self.engine, within_s=3600.0)
        took_s = time.monotonic() - began_s
        if not self.transcript.check("the images build", said.code == 0, f"{took_s:.0f} s"):
            raise NotInTime(said.text[-2000:])

    def _up(self) -> None:
        began_s = time.monotonic()
        said = self.stack.run("up", "--detach", "--no-build", *self.lasting, within_s=1800.0)
        up_s = time.monotonic() - began_s
        if not self.transcript.check("`up` comes back with 0", said.code == 0, f"{up_s:.0f} s"):
            for name in (*ONE_SHOT, *self.lasting):
                self.transcript.show(f"compose logs {name}", self.stack.run("logs", "--tail", "5", name).text)
            raise NotInTime(said.text[-2000:])
        for name in self.lasting:
            self.stack.healthy(name)
        healthy_s = time.monotonic() - began_s
        self.transcript.check("every service is healthy", True, f"{healthy_s:.0f} s after the command")
        for name in ONE_SHOT:
            (once,) = self.stack.containers(name)
            self.transcript.check(f"{name} ended with 0", once.exit_code == 0 and not once.running)
        self.transcript.check("precompute runs twice", len(self.stack.containers("precompute")) == 2)
        self.transcript.show("compose ps", self.stack.run("ps", "--all").text)
        self.transcript.show("compose logs bundle", self.stack.run("logs", "--no-color", "--tail", "2", "bundle").text)

    def _rights(self) -> None:
        self.transcript.section("What a container may")
        for name in self.lasting:
            (one, *_) = self.stack.containers(name)
            uid = self.stack.docker("exec", one.id, "id", "-u").last_line
            written = self.stack.docker("exec", one.id, "touch", "/opt/new")
            refused = written.code != 0 and "Read-only file system" in written.text
            self.transcript.check(
                f"{name}: not root, and a root that is read-only", uid != "0" and refused, f"uid {uid}"
            )
            if name in OURS or name == self.engine:
                self.transcript.check(f"{name}: user 10001", uid == "10001", f"uid {uid}")
        format_ = "table {{.Name}}\t{{.MemUsage}}\t{{.CPUPerc}}"
        names = [one.name for name in self.lasting for one in self.stack.containers(name)]
        self.transcript.show(
            "docker stats", self.stack.docker("stats", "--no-stream", "--format", format_, *names).text
        )

    def _journey(self) -> None:
        self.transcript.section("A user, until the next bundle")
        new = self.shop.retrieve("ada")
        self._page("GET /retrieve/ada", new)
        self.transcript.check("a user who is new gets popular items", new.outcome == "fallback" and len(new.items) == 5)
        said = self.shop.trigger("ada", "r-1", new.items[:2])
        self.transcript.show(f"POST /trigger ada r-1: just clicked {list(new.items[:2])}", "{} {}".format(*said))
        # A broker that has just begun is still handing out its partitions.
        first = wait_for(lambda: self._fresh("r-1"), FIRST_WITHIN_S)
        self._page("GET /retrieve/ada?request_id=r-1&wait_ms=5000", first)
        self.transcript.check("the trigger's list is fresh", first.outcome == "fresh" and first.request == "r-1")
        if self.more.given is not None:
            version = json.loads((self.more.given / "manifest.json").read_text())["model_version"]
            self.transcript.check("it is the given bundle's", first.model == version, first.model)
        said = self.shop.interact("ada", "r-1", "click", first.items[:3])
        self.transcript.show(f"POST /interactions ada r-1: clicks on {list(first.items[:3])}", "{} {}".format(*said))
        second = self._moved(first)
        self._page(f"GET /retrieve/ada?request_id={second.request}&wait_ms=5000", second)
        self.transcript.check("three clicks move the list", second.items != first.items)
        self._next_bundle(second.model)

    def _fresh(self, request: str) -> Page | None:
        page = self.shop.retrieve("ada", 5, request, 5000)
        return page if page.outcome == "fresh" and page.request == request else None

    def _moved(self, first: Page) -> Page:
        """The list after what the user did, once that is in the history: it takes the other way round the stack."""
        again = requests("r-again")

        def asked() -> Page | None:
            request = next(again)
            self.shop.trigger("ada", request)
            page = self.shop.retrieve("ada", 5, request, 5000)
            return page if page.outcome == "fresh" and page.items != first.items else None

        return wait_for(asked, MOVED_WITHIN_S)

    def _next_bundle(self, model: str) -> None:
        began_s = time.monotonic()
        views = itertools.count(1)

        def learnt() -> Page | None:
            number = next(views)
            page = self.shop.view(f"shopper-{number % SHOPPERS}", f"v-{number}")
            return page if page.outcome == "fresh" and page.model not in ("", model) else None

        page = wait_for(learnt, NEXT_BUNDLE_WITHIN_S)
        took_s = time.monotonic() - began_s
        self._page("GET /retrieve/shopper", page)
        told = f"{model} -> {page.model}, {next(views) - 1} page views and {took_s:.0f} s later"
        self.transcript.check("what they did is learnt: a list carries the next model", True, told)
        said = self.stack.run("run", "--rm", "--no-deps", "-T", "--entrypoint", "rankgr", "bundle",
                              "bundles", "list", "--store", "/bundles/store")  # fmt: skip
        self.transcript.show("compose run --entrypoint rankgr bundle bundles list --store /bundles/store", said.text)

    def _load(self, load_s: int) -> None:
        """The profile `load` on the stack that is up."""
        self.transcript.section("Load")
        said = self.stack.run("run", "--rm", "-T", "load", within_s=load_s + 120.0, LOAD_SECONDS=str(load_s))
        self.transcript.show(f"LOAD_SECONDS={load_s} compose run --rm load", "\n".join(verdict(said.text)))
        self.transcript.check("the load test keeps its budgets", said.code == 0, f"exit code {said.code}")

    def _page(self, asked: str, page: Page) -> None:
        told = f"{page.status} {page.outcome} request={page.request} model={page.model} items={list(page.items)}"
        self.transcript.show(asked, f"{told}  ({page.ms:.0f} ms)")


def run(
    profile: Annotated[str, typer.Option(help="Which engine: vllm-cpu, small or gpu.")] = "vllm-cpu",
    compose: Annotated[str, typer.Option(help="The command; default: docker compose, else docker-compose.")] = "",
    without: Annotated[
        list[str] | None, typer.Option(help="A service to leave out, where its image is not at hand.")
    ] = None,
    build: Annotated[bool, typer.Option(help="Build the images first.")] = True,
    broker_forgets: Annotated[
        bool,
        typer.Option("--broker-forgets", help="A broker without a disk: make its topics again when it was killed."),
    ] = False,
    project: Annotated[str, typer.Option(help="The stack's name: several runs beside one another need several.")] = (
        "rankgr-compose-test"
    ),
    keys: Annotated[bool, typer.Option("--keys", help="A stack that asks for keys.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="A bundle's directory, which user 10001 can read, in place of the synthetic one's."),
    ] = None,
    load_s: Annotated[int, typer.Option("--load", help="So many seconds of the profile `load`, too.")] = 0,
    kills: Annotated[bool, typer.Option(help="Kill every service and try bad input.")] = True,
    out: Annotated[Path, typer.Option(help="The transcript.")] = Path("var/compose.md"),
) -> None:
    """Try the whole stack of docker-compose.yml on the container engine that DOCKER_HOST names."""
    if profile not in ENGINES:
        raise typer.BadParameter(f"one of {', '.join(ENGINES)}", param_hint="--profile")
    words = tuple(compose.split()) or found_compose()
    with TemporaryDirectory() as directory:
        more = More(Keys.made_in(Path(directory)) if keys else None, bundle, load_s)
        ports = {f"{name}_PORT": free_port() for name in ("TRIGGER", "RETRIEVAL", "CONSOLE", "PROMETHEUS", "GRAFANA")}
        variables = {**QUICK, **{name: str(port) for name, port in ports.items()}, **more.variables}
        stack = Stack(words, project, profile, variables)
        if (said := stack.docker("version")).code:
            raise typer.BadParameter(said.last_line, param_hint="DOCKER_HOST")
        if stack.left():
            # Another run's, which this one would kill and take down; or what an interrupted one left.
            down = " ".join((*words, "--project-name", project, "--profile", profile, "down --volumes"))
            raise typer.BadParameter(f"there is a stack of that name: {down}", param_hint="--project")
        trigger, retrieval, console, prometheus = (
            f"http://127.0.0.1:{ports[f'{name}_PORT']}" for name in ("TRIGGER", "RETRIEVAL", "CONSOLE", "PROMETHEUS")
        )
        shop = Shop(trigger, retrieval, more.key)
        transcript = Transcript(["# docker-compose.yml, run for real", ""])
        transcript.say(circumstances(stack))
        watchers = Watchers(console, prometheus, transcript, precomputes=2, key=more.key)
        trial = Trial(stack, shop, watchers, transcript, frozenset(without or ()), broker_forgets, more, kills)
        try:
            trial(build)
        except NotInTime as error:
            transcript.check("the run came to its end", False, error)
            for name in trial.lasting:
                transcript.show(f"compose logs {name}", stack.run("logs", "--no-color", "--tail", "6", name).text)
        finally:
            transcript.section("Down")
            said = stack.run("down", "--volumes", "--remove-orphans", within_s=300.0)
            left = stack.left()
            transcript.check("nothing is left behind", said.code == 0 and not left, " ".join(left))
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(transcript.text)
    typer.echo(f"{out}: {len(transcript.failures)} failed")
    if transcript.failures:
        raise typer.Exit(1)


def verdict(text: str) -> list[str]:
    """What the load test prints at its end, without locust's own tables before and after."""
    lines = text.splitlines()
    begin = next((place for place, line in enumerate(lines) if line == HEAD.splitlines()[0]), max(0, len(lines) - 20))
    end = next((place for place, line in enumerate(lines) if "locust.main: Shutting down" in line), len(lines))
    return lines[begin:end]


def found_compose() -> tuple[str, ...]:
    """Compose 2 where Docker has it, else docker-compose.  Raises BadParameter where there is neither."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise typer.BadParameter("neither docker compose nor docker-compose is here", param_hint="--compose")


def circumstances(stack: Stack) -> str:
    """Without them figures are no report."""
    version = stack.run("version", "--short").last_line
    server = stack.docker("version", "--format", "{{.Server.Version}}").last_line
    git = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    return (
        f"{datetime.now(UTC).isoformat(timespec='minutes')}, commit {git.stdout.strip()}, profile `{stack.profile}`, "
        f"{' '.join(stack.compose)} {version}, engine {server}, {os.cpu_count()} cores, {platform.machine()}, "
        f"load average {load}."
    )


if __name__ == "__main__":
    typer.run(run)
