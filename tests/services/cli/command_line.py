"""`rankgr` with some arguments, run in this process or as one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from services.cli import main

WITHIN_S = 600


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def content(self) -> dict[str, Any]:
        """The one JSON object on stdout of a command that succeeded without a word on stderr."""
        assert (self.code, self.err) == (0, "")
        assert self.out.endswith("\n")
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def complaint(self) -> str:
        """The one line on stderr of a command that failed."""
        assert (self.code, self.out) == (1, "")
        [line] = self.err.splitlines()
        assert line.startswith("rankgr: ")
        return line


Run = Callable[..., Finished]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process, just as the console script does."""

    def run(*words: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["rankgr", *map(str, words)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
            if isinstance(code, str):
                # What the interpreter does with it.
                sys.stderr.write(code + "\n")
        out, err = capsys.readouterr()
        return Finished(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


def run_process(*words: object) -> Finished:
    """Runs the command line as a process of its own."""
    command = [sys.executable, "-m", "services.cli", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    return Finished(ended.returncode, ended.stdout, ended.stderr)
