"""`rankgr dead-letters`: what could not be processed, looked at and sent again, on whichever stream there is."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.topics import Topic
from services.cli.output import emit, people
from services.runtime.clock import SystemClock

if TYPE_CHECKING:
    from contracts.messages import DeadLetter
    from services.gateways.event_stream.port import EventStream
    from services.gateways.event_stream.replay import Replayed

app = typer.Typer(no_args_is_help=True, help="What could not be processed: looked at, and sent again.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PAYLOAD_SHOWN = 120


class From(StrEnum):
    """Topics that letters come from."""

    TRIGGERS = Topic.TRIGGERS
    INTERACTIONS = Topic.INTERACTIONS
    CANDIDATES = Topic.CANDIDATES
    SAMPLES = Topic.SAMPLES


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    topic: Annotated[From | None, typer.Option(help="Only those that came from this topic.")] = None,
    as_json: Json = False,
) -> None:
    """The newest dead letters, oldest first, with the reason, the attempts and the message itself."""
    letters = [one for one in asyncio.run(_newest(limit)) if topic is None or one.topic == topic.value]
    if as_json:
        emit({"dead_letters": [one.model_dump() for one in letters]})
        return
    for one in letters:
        when = datetime.fromtimestamp(one.buried_at / 1000, UTC).isoformat(timespec="seconds")
        people().print(f"{when}  {one.topic}  {one.group}  user {one.key}  {one.attempts} attempts")
        people().print(f"    {one.reason}")
        people().print(f"    {one.payload[:PAYLOAD_SHOWN]}")
    if not letters:
        people().print("no dead letters")


@app.command("replay")
def replay_(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    topic: Annotated[From | None, typer.Option(help="Only those that came from this topic.")] = None,
    as_json: Json = False,
) -> None:
    """Send dead letters back to the topics they came from, each once; what fails again is buried again."""
    done = asyncio.run(_replay(limit, topic))
    if as_json:
        emit(asdict(done))
    else:
        people().print(f"replayed {done.replayed}" + (f", passed over {done.passed_over}" if done.passed_over else ""))


async def _newest(limit: int) -> list[DeadLetter]:
    from pydantic import ValidationError

    from contracts.messages import DeadLetter

    async with _stream() as stream:
        found = await stream.dead_letters(limit)
    letters: list[DeadLetter] = []
    for payload in found:
        try:
            letters.append(DeadLetter.model_validate_json(payload))
        except ValidationError:
            # Somebody else's message on our topic is nothing that we could show or send again.
            continue
    return letters


async def _replay(limit: int, topic: From | None) -> Replayed:
    from services.gateways.event_stream.replay import replay

    member = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    async with _stream() as stream:
        return await replay(stream, member, limit, None if topic is None else topic.value)


@asynccontextmanager
async def _stream() -> AsyncIterator[EventStream]:
    # Imported here: the clients of brokers are nothing that other commands should wait for.
    from services.gateways.event_stream.chosen import open_stream
    from services.runtime.settings import StreamSettings, read_settings

    stream = open_stream(read_settings(StreamSettings), SystemClock())
    try:
        yield stream
    finally:
        await stream.close()
