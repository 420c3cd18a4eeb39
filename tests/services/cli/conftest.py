"""The command line as a fixture."""

from __future__ import annotations

import pytest

from .command_line import Run, runner


@pytest.fixture
def rankgr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`rankgr("data", "describe", directory)` in this process."""
    # The command line sets it for itself; put back when the test ends.
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    return runner(monkeypatch, capsys)
