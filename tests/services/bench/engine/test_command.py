"""Any other program, timed beside our hosts."""

from __future__ import annotations

import os
import shlex
import sys

import pytest

from services.bench.engine.command import time_command
from services.bench.engine.process import HostLost


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_the_last_figure_that_a_program_prints_counts() -> None:
    timed = time_command(python("print('warm 99 ms/user'); print('D: prefill 44 ms, total 381.5 ms/user')"), os.environ)
    assert (timed.ms, timed.printed) == (381.5, True)


def test_a_program_without_figures_is_timed_as_a_whole() -> None:
    timed = time_command(python("import time; time.sleep(0.2)"), os.environ)
    assert not timed.printed
    assert timed.ms > 200
    assert timed.peak_rss_mb > 1


def test_the_program_is_told_what_is_measured() -> None:
    code = "import os; print(os.environ['RANKGR_BENCH_PROMPT_TOKENS'], 'ms/user')"
    assert time_command(python(code), {**os.environ, "RANKGR_BENCH_PROMPT_TOKENS": "64"}).ms == 64.0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (python("import sys; sys.exit('no model here')"), "ended with 1: no model here"),
        ("/nowhere/at/all", "cannot be run"),
        ("", "cannot be run"),
        ("'open quote", "cannot be run"),
    ],
)
def test_a_program_that_fails_is_lost_with_one_line(command: str, why: str) -> None:
    with pytest.raises(HostLost, match=why):
        time_command(command, os.environ)
