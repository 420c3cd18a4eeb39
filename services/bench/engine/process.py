"""A host's process, from the benchmark's side: started, asked one question at a time, ended with all its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from services.bench.engine.messages import Answer, Ask, Failed, Found, Multiplied, Multiply, Ready, Start
from services.runtime.die_with_parent import die_with_parent

ROOT = Path(__file__).parents[3]
ANSWER_WITHIN_S = 900.0
STOP_WITHIN_S = 30.0
LAST_LINES = 3
_ANSWER: TypeAdapter[Ready | Found | Multiplied | Failed] = TypeAdapter(Answer)


class HostLost(Exception):
    """A host that cannot go on; the message is one line that says why.  The others go on without it."""


class HostProcess:
    """One host at the other end of a socket.  A context manager: leaving it ends the process."""

    def __init__(self, start: Start, log: Path, environment: Mapping[str, str]) -> None:
        self.name = start.host
        self._log = log
        self._line, theirs = socket.socketpair()
        with theirs, log.open("w") as says:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.bench.engine.worker", str(theirs.fileno()), start.model_dump_json()],
                cwd=ROOT,
                env={**environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=says,
                stderr=subprocess.STDOUT,
                # A group of its own: what a host starts (vLLM's engine core) ends with it.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._line.settimeout(ANSWER_WITHIN_S)
        self._answers = self._line.makefile("r", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> dict[str, str]:
        """Wait until the host is loaded; what it tells about itself.  Raises HostLost."""
        answer = self._next()
        if not isinstance(answer, Ready):
            raise HostLost(f"answered {answer.kind} before it was ready")
        return answer.about

    def ask(self, question: Ask) -> Found:
        """Raises HostLost."""
        answer = self._say(question)
        if not isinstance(answer, Found):
            raise HostLost(f"answered {answer.kind} to a question for lists")
        return answer

    def multiply(self) -> float:
        """Operations per second of a plain matrix product in the host's process.  Raises HostLost."""
        answer = self._say(Multiply())
        if not isinstance(answer, Multiplied):
            raise HostLost(f"answered {answer.kind} to a question for a product")
        return answer.flops

    def close(self) -> None:
        """End the process and all it started."""
        self._answers.close()
        self._line.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN_S)
        # The group also holds what outlived the host.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _say(self, question: Ask | Multiply) -> Ready | Found | Multiplied | Failed:
        try:
            self._line.sendall(question.model_dump_json().encode() + b"\n")
        except OSError as error:
            raise HostLost(self._last_words()) from error
        return self._next()

    def _next(self) -> Ready | Found | Multiplied | Failed:
        try:
            line = self._answers.readline()
        except TimeoutError as error:
            raise HostLost(f"did not answer within {ANSWER_WITHIN_S:.0f} s") from error
        except OSError as error:
            raise HostLost(self._last_words()) from error
        if not line:
            raise HostLost(self._last_words())
        answer = _ANSWER.validate_json(line)
        if isinstance(answer, Failed):
            raise HostLost(answer.why)
        return answer

    def _last_words(self) -> str:
        # The socket closes before the interpreter has said what went wrong.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN_S)
        said = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return "its process ended: " + (" | ".join(said[-LAST_LINES:]) or "without a word")
