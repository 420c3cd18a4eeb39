"""What a container says that was told something wrong: one line, and whoever depends on it says whom it waits for."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.deploy.compose.containers import Said, Stack, wait_for
from tests.deploy.compose.transcript import Transcript

# What compose itself says around a command that it runs.
NOISE = ("Creating ", "Starting ", "Container ", "Network ", "Volume ", "time=", " Container", "WARNING", "Pulling ")
# Whose volume is taken away, and where each writes.
REFUSED = {"samples": "/state", "trainer": "/state", "bundle": "/bundles"}


@dataclass(frozen=True, slots=True)
class BadInput:
    """Every case on a stack that runs; nothing of it stays."""

    stack: Stack
    transcript: Transcript
    engine: str

    def __call__(self) -> None:
        self.transcript.section("Bad input")
        self._a_wrong_variable()
        self._a_missing_secret()
        self._a_volume_that_cannot_be_written()
        self._no_engine()
        self._no_gpu()

    def one_line(self, what: str, said: Said, must_hold: str) -> None:
        """The container ended, said so in one line, and that line holds the words."""
        lines = own_lines(said.text)
        holds = said.code != 0 and len(lines) == 1 and must_hold in lines[0]
        self.transcript.check(f"{what}: one line", holds, "" if holds else said.text[-600:])

    def _once(self, service: str, *options: str, **variables: str) -> Said:
        said = self.stack.run("run", "--rm", "--no-deps", "-T", *options, service, within_s=120.0, **variables)
        set_ = " ".join(f"{name}={value}" for name, value in variables.items())
        words = " ".join(("compose run --rm --no-deps", *options, service))
        self.transcript.show(f"{set_} {words}".strip(), "\n".join(own_lines(said.text)))
        return said

    def _a_wrong_variable(self) -> None:
        said = self._once("retrieval", "-e", "RANKGR_RETRIEVAL_PROT=1")
        self.one_line("a variable that nobody reads", said, "RANKGR_RETRIEVAL_PROT")
        said = self._once("trainer", "-e", "RANKGR_TRAINER_PUBLISH_EVERY_S=often")
        self.one_line("a value that is no number", said, "RANKGR_TRAINER_PUBLISH_EVERY_S")

    def _a_missing_secret(self) -> None:
        said = self._once("trigger", KEYS_FILE="/keys/absent.json")
        self.one_line("a file of keys that is not there", said, "/keys/absent.json")
        said = self._once("trigger", ALLOW_NO_KEYS="false", KEYS_FILE="")
        self.one_line("neither keys nor leave to do without", said, "RANKGR_API_KEYS_FILE")

    def _a_volume_that_cannot_be_written(self) -> None:
        """By a second compose file: of `run --volume` and a service's own volume docker-compose 1.29 takes either."""
        volume = f"{self.stack.project}_refused"
        self.stack.docker("volume", "create", volume)
        try:
            with TemporaryDirectory() as directory:
                file = Path(directory) / "refused.yml"
                file.write_text(refused_volumes(volume))
                for service, place in REFUSED.items():
                    said = self._once(service, COMPOSE_FILE=f"docker-compose.yml{os.pathsep}{file}")
                    self.one_line(f"{service}, a volume that cannot be written", said, place)
        finally:
            self.stack.docker("volume", "rm", "--force", volume)

    def _no_engine(self) -> None:
        """Whoever waits for an engine says so while there is none; precompute keeps the triggers meanwhile."""
        self.stack.run("stop", self.engine)
        try:
            command = ("run", "--rm", "--no-deps", "-T", "--detach", "engine-ready")
            container = self.stack.run(*command).last_line

            def says() -> str:
                return self.stack.docker("logs", container).text.strip()

            line = wait_for(says, 30.0)
            self.stack.docker("rm", "--force", container)
        finally:
            self.stack.run("start", self.engine)
        self.transcript.show(f"compose stop {self.engine}; compose run engine-ready", line)
        self.transcript.check("whoever waits for the engine says so in one line", "waiting for engine:8103" in line)
        self.stack.healthy(self.engine)

    def _no_gpu(self) -> None:
        """The engine under its GPU's settings; the image that is here stands in, for the GPU is asked for first."""
        image = self.stack.containers(self.engine)[0].image
        said = self.stack.run("--profile", "gpu", "up", "--detach", "--no-deps", "--no-build", "engine-gpu",
                              RANKGR_ENGINE_GPU_IMAGE=image)  # fmt: skip
        lines = [line for line in said.text.splitlines() if "could not select device driver" in line]
        self.transcript.show("compose --profile gpu up engine-gpu", "\n".join(lines[-1:] or own_lines(said.text)))
        self.transcript.check(
            "no GPU under profile gpu: it is said, and nothing starts", said.code != 0 and bool(lines)
        )
        self.stack.run("--profile", "gpu", "rm", "--force", "--stop", "engine-gpu")
        said = self._once(self.engine, "-e", "RANKGR_ENGINE_MODEL_HOST=torch", "-e", "RANKGR_ENGINE_DEVICE=cuda")
        self.one_line("a device that is not there", said, "cuda")


def port_in_use(stack: Stack, transcript: Transcript) -> None:
    """Before the stack is up: the port of retrieval is somebody else's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = stack.run("up", "--detach", "--no-deps", "--no-build", "retrieval", RETRIEVAL_PORT=port)
    lines = [line.strip() for line in said.text.splitlines() if "address already in use" in line]
    transcript.show(f"RETRIEVAL_PORT={port} compose up retrieval", "\n".join(lines[-1:]) or said.text)
    transcript.check("a port in use: it is said, and nothing starts", said.code != 0 and bool(lines))
    stack.run("rm", "--force", "--stop", "retrieval")


def refused_volumes(volume: str) -> str:
    """A compose file that puts an empty volume, not to be written, in the place of the one that a service writes."""
    services = {service: {"volumes": [f"refused:{place}:ro"]} for service, place in REFUSED.items()}
    return json.dumps({"services": services, "volumes": {"refused": {"external": True, "name": volume}}})


def own_lines(text: str) -> list[str]:
    """What a container said, without compose's own lines and without what is logged as JSON."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    # docker-compose 1.29 on newer Pythons says the exit code, too.
    return [line for line in lines if not line.startswith((*NOISE, "{")) and not line.isdigit()]
