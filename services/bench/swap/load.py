"""A steady stream of prompts on one engine, each with the moment of its sending, of its answer, and whose it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import httpx

from services.gateways.inference.port import CATALOG_HEADER, MODEL_HEADER
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: seconds of the monotonic clock; `status` 0: no answer; `model`: whose answer it says it is."""

    sent_s: float
    answered_s: float
    status: int
    model: str
    whole: bool
    """Whether body and headers name the same two versions."""


@dataclass(slots=True)
class Load:
    """`rate` requests a second whether or not others are answered; `prompts` by user, each sent in turn."""

    url: str
    rate: float
    bodies: Sequence[Mapping[str, object]]
    clock: Clock
    asked: list[Asked] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask inside the block; then wait for what is under way."""
        stop, under_way = asyncio.Event(), set[asyncio.Task[None]]()
        async with httpx.AsyncClient(timeout=30.0, limits=httpx.Limits(max_connections=256)) as client:

            async def ask_on_time() -> None:
                began_s, number = self.clock.monotonic_s(), 0
                while not stop.is_set():
                    await asyncio.sleep(max(0.0, began_s + number / self.rate - self.clock.monotonic_s()))
                    task = asyncio.create_task(self._ask(client, self.bodies[number % len(self.bodies)]))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    number += 1

            asking = asyncio.ensure_future(ask_on_time())
            try:
                yield
            finally:
                stop.set()
                await asking
                await asyncio.gather(*under_way)

    async def _ask(self, client: httpx.AsyncClient, body: Mapping[str, object]) -> None:
        sent_s = self.clock.monotonic_s()
        try:
            answer = await client.post(f"{self.url}/recommend", json=body)
        except httpx.HTTPError:
            self.asked.append(Asked(sent_s, self.clock.monotonic_s(), 0, "", True))
            return
        now_s = self.clock.monotonic_s()
        if answer.status_code != 200:
            self.asked.append(Asked(sent_s, now_s, answer.status_code, "", True))
            return
        said = answer.json()
        named = (answer.headers[MODEL_HEADER], answer.headers[CATALOG_HEADER])
        whole = named == (said["model_version"], said["catalog_version"])
        self.asked.append(Asked(sent_s, now_s, 200, said["model_version"], whole))


def longest_pause_ms(asked: Sequence[Asked], since_s: float = -inf, until_s: float = inf) -> float:
    """The longest time in which somebody waited and nobody was answered, in milliseconds.

    Of the pauses that began before `until_s` and ended after `since_s`.
    """
    ordered = sorted(asked, key=lambda one: one.answered_s)
    longest_s, earliest_s = 0.0, float("inf")
    # From the last answer back: who is answered later was waiting, if he had asked by then.
    for place in range(len(ordered) - 1, -1, -1):
        earliest_s = min(earliest_s, ordered[place].sent_s)
        began_s = max(ordered[place - 1].answered_s if place else earliest_s, earliest_s)
        ended_s = ordered[place].answered_s
        if began_s <= until_s and ended_s >= since_s:
            longest_s = max(longest_s, ended_s - began_s)
    return longest_s * 1000
