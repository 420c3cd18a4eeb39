"""docker-compose.yml on a container engine: the few things that are asked of either, over their command lines.

`DOCKER_HOST` says which engine, as for every client of Docker; `compose` is `docker compose` or `docker-compose`.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[3]
LOOK_EVERY_S = 0.25

Seen = TypeVar("Seen")


class NotInTime(Exception):
    """What was waited for did not come; the message says what, and what was there instead."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, both streams together, and how it ended."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as `docker inspect` tells of it."""

    id: str
    name: str
    running: bool
    health: str
    health_says: str
    exit_code: int
    pid: int
    restarts: int
    read_only: bool
    image: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One project of compose, with the variables that it is given."""

    compose: tuple[str, ...]
    project: str
    profile: str
    variables: Mapping[str, str]

    def run(self, *words: str, within_s: float = 600.0, **more: str) -> Said:
        """A command of compose, with further variables."""
        command = [*self.compose, "--project-name", self.project, "--profile", self.profile, *words]
        return self._run(command, within_s, {**self.variables, **more})

    def docker(self, *words: str, within_s: float = 120.0) -> Said:
        """A command of the engine's own client."""
        return self._run(["docker", *words], within_s, {})

    def containers(self, service: str) -> list[Container]:
        """Those of a service, running or not."""
        found = self.docker(
            *("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
            *("--filter", "label=com.docker.compose.oneoff=False"),
        )
        return [self.inspect(one) for one in found.text.split()]

    def left(self) -> list[str]:
        """Containers, volumes and networks of this project, running or not."""
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        asked = (self.docker(*words, *mine) for words in (("ps", "--all"), ("volume", "ls"), ("network", "ls")))
        return [one for said in asked for one in said.text.split()]

    def inspect(self, container: str) -> Container:
        """Raises NotInTime where there is none of that id."""
        said = self.docker("inspect", container)
        if said.code:
            raise NotInTime(said.last_line)
        (found,) = json.loads(said.text)
        state = found["State"]
        health = state.get("Health") or {"Status": "none", "Log": []}
        log = health.get("Log") or []
        return Container(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            running=state["Running"],
            health=health["Status"],
            health_says=log[-1]["Output"].strip() if log else "",
            exit_code=state["ExitCode"],
            pid=state["Pid"],
            restarts=found["RestartCount"],
            read_only=found["HostConfig"]["ReadonlyRootfs"],
            image=found["Config"]["Image"],
        )

    def healthy(self, service: str, within_s: float = 180.0) -> list[Container]:
        """Its containers, once each of them says that it is healthy."""

        def all_are() -> list[Container]:
            found = self.containers(service)
            return found if found and all(one.running and one.health == "healthy" for one in found) else []

        return wait_for(all_are, within_s, lambda: f"{service}: {self.containers(service)}")

    def kill(self, container: Container, helper_image: str) -> None:
        """End its process as a crash would: `docker kill` would count as a wish, and nothing would start it again."""
        said = self.docker(
            *("run", "--rm", "--pid=host", "--user", "0", "--cap-add", "KILL", "--network", "none"),
            *("--entrypoint", "python", helper_image, "-c", f"import os; os.kill({container.pid}, 9)"),
        )
        if said.code:
            raise NotInTime(f"{container.name} could not be killed: {said.text}")

    @staticmethod
    def _run(command: Sequence[str], within_s: float, variables: Mapping[str, str]) -> Said:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=within_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotInTime(f"{' '.join(command)}: not done after {within_s:g} s") from error
        return Said(done.returncode, done.stdout)


def wait_for(look: Callable[[], Seen | None], within_s: float, instead: Callable[[], object] | None = None) -> Seen:
    """What `look` sees, once that is something.  Raises NotInTime with what `instead` says."""
    until_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > until_s:
            raise NotInTime(f"not within {within_s:g} s: {instead() if instead else 'nothing seen'}")
        time.sleep(LOOK_EVERY_S)
    return seen
