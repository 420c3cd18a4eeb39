"""Processes that end with their test, whatever happens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from .processes import Started

Start = Callable[..., Started]


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Start]:
    """`start_python({"RANKGR_...": "..."}, file)`: a Python program that is ended after the test."""
    with ExitStack() as running:

        def started(told: Mapping[str, str], *arguments: object) -> Started:
            number = len(list(tmp_path.glob("process-*")))
            one = Started.start_python(tmp_path / f"process-{number}", told, *arguments)
            running.callback(one.end)
            return one

        yield started


@pytest.fixture
def start(start_python: Start) -> Start:
    """`start({"RANKGR_...": "..."}, "up", "--bundle", bundle)`: a command that is ended after the test."""
    return lambda told, *words: start_python(told, "-m", "services.cli", *words)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client whose timeout leaves room for the longest wait."""
    async with httpx.AsyncClient(timeout=15.0) as one:
        yield one
