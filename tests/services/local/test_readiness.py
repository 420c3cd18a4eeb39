"""Waiting for processes: until all are ready, or until their time is over, by name."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI

from contracts.errors import StoreDown, Unavailable
from services.local.readiness import wait_ready
from services.runtime.http import create_app
from services.runtime.lifecycle import Site, listen, serve
from services.runtime.telemetry import new_registry


def app(answers: list[bool]) -> FastAPI:
    """Ready or not as the list says, one entry per question; its last entry stays."""

    async def ready() -> None:
        if not (answers.pop(0) if len(answers) > 1 else answers[0]):
            raise StoreDown("not yet")

    return create_app("one", ready=ready, metrics=new_registry())


async def wait_for(answers: list[bool], port: int, within_s: float) -> None:
    """Serve an app with these answers and wait until it is ready."""
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve([Site("one", app(answers), "127.0.0.1", port)], stop=stop))
    try:
        await wait_ready({"one": f"http://127.0.0.1:{port}"}, within_s)
    finally:
        stop.set()
        await serving


async def test_a_process_that_needs_a_moment_is_waited_for(free_port: int) -> None:
    answers = [False, False, True]
    await wait_for(answers, free_port, 20.0)
    assert answers == [True]


async def test_a_process_that_never_is_ready_is_named(free_port: int) -> None:
    with pytest.raises(Unavailable, match="one; the log says why"):
        await wait_for([False], free_port, 0.3)


async def test_a_process_that_does_not_listen_is_named(free_port: int) -> None:
    listen("127.0.0.1", free_port, "one").close()
    with pytest.raises(Unavailable, match="not ready after 0 s: one"):
        await wait_ready({"one": f"http://127.0.0.1:{free_port}"}, 0.2)
