"""Run a stack until Ctrl-C, SIGTERM, or until it fails."""

from __future__ import annotations

import asyncio
import signal

from services.local.stack import LocalStack


async def until_stopped(stack: LocalStack) -> None:
    """Return at the first SIGINT or SIGTERM; raise what the stack failed of."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    waiting = asyncio.ensure_future(_until(asked))
    try:
        await asyncio.wait([waiting, stack.failed], return_when=asyncio.FIRST_COMPLETED)
        if stack.failed.done():
            stack.failed.result()
    finally:
        waiting.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _until(asked: asyncio.Event) -> None:
    await asked.wait()
