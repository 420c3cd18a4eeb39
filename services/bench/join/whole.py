"""The loop as the process runs it: page views wait in a real stream, the state is on a disk, samples are published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from contracts.messages import CandidatesComputed, Topic
from services.bench.join.run import page_view
from services.gateways.event_stream.port import EventStream
from services.samples.consumer import SampleTopics

PUBLISHED_AT_ONCE = 1000
LOOK_EVERY_S = 0.05

Message = tuple[str, str, bytes]
"""Topic, key, payload."""


@dataclass(frozen=True, slots=True)
class Whole:
    """`wall_s`: from the first reading to the last sample published; `processor_s`: of this process alone.

    The stream's server has a process of its own.
    """

    interactions: int
    samples: int
    wall_s: float
    processor_s: float

    @property
    def per_s(self) -> float:
        """Interactions a second of wall time, all that they cost included."""
        return self.interactions / self.wall_s


def messages(views: int, users: int, seed: int) -> list[Message]:
    """Page views as the other processes publish them."""
    random = Random(seed)
    found: list[Message] = []
    for view in range(views):
        user = f"u{random.randrange(users)}"
        for kind, written in page_view(view, user, random):
            topic = Topic.CANDIDATES if kind is CandidatesComputed else Topic.INTERACTIONS
            found.append((topic, user, written))
    return found


async def fill(stream: EventStream, found: Sequence[Message]) -> None:
    """Publish them all."""
    for begin in range(0, len(found), PUBLISHED_AT_ONCE):
        some = found[begin : begin + PUBLISHED_AT_ONCE]
        await asyncio.gather(*(stream.publish(*one) for one in some))


async def run_until_sampled(topics: SampleTopics, stream: EventStream, sessions: int, interactions: int) -> Whole:
    """Run the loop until so many samples are published."""
    reader = stream.reader(Topic.SAMPLES, "bench", {})
    stop, began_s, began_processor_s = asyncio.Event(), time.perf_counter(), time.process_time()
    running = asyncio.ensure_future(topics.run(stop))
    while await reader.lag() < sessions and not running.done():
        await asyncio.wait([running], timeout=LOOK_EVERY_S)
    wall_s, processor_s = time.perf_counter() - began_s, time.process_time() - began_processor_s
    stop.set()
    await running
    samples = await reader.lag()
    await reader.close()
    return Whole(interactions, samples, wall_s, processor_s)
