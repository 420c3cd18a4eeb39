"""The use case behind `rankgr demo`: some users of the data come by, as they would in a shop.

For each: trigger, the shop's other work, retrieve.  Speaks HTTP to the stack, as any client does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from contracts.behaviors import Level
from contracts.candidate_set import MAX_WAIT_MS
from contracts.errors import BadDataSet, Unavailable
from contracts.messages import MAX_RECENT, CandidatesComputed, Topic
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut, held_out
from services.gateways.event_stream.chosen import open_stream
from services.gateways.event_stream.port import EventConsumer
from services.local.stack import LocalStack
from services.runtime.clock import Clock
from services.runtime.settings import StreamSettings

USERS = 4
HISTORY = 100
LIST = 10
# What a page view does meanwhile: parsing, features, other retrievals (RankGR's latency mask, 3.4.1).
OTHER_WORK_S = 0.1
EVENT_WITHIN_S = 5.0
# Each takes a quarter of a second before it is refused.
TRIES = 20
WIRE_NAMES = {Level.EXPOSURE: "exposure", Level.CLICK: "click", Level.PURCHASE: "purchase"}


@dataclass(frozen=True, slots=True)
class Past:
    """Something the user did before."""

    item_id: int
    behavior: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One user's page view.  `items` as `/retrieve` gave them; `stages_ms` as precompute published them."""

    user: str
    request_id: str
    history: tuple[Past, ...]
    outcome: str
    items: list[dict[str, object]]
    trigger_ms: float
    retrieve_ms: float
    stages_ms: dict[str, float]
    ready_after_ms: float | None


def choose_users(data: DataSet, history_level: Level, users: int = USERS) -> list[HeldOut]:
    """A few held-out users with something to go by, spread over the data.  Raises BadDataSet where there is none."""
    everybody = list(held_out(data, Split.TEST, history_level))
    found = [user for user in everybody if len(user.items) >= 5] or everybody
    if not found:
        raise BadDataSet(f"{data.name}: no user has a test request with a history before it")
    return found[:: max(1, len(found) // users)][:users]


async def visit(stack: LocalStack, users: Sequence[HeldOut], clock: Clock, run: str) -> list[Visit]:
    """Every user comes by once, one after the other; `run` makes the request ids of this demo its own.

    Raises Unavailable when a process of the stack does not answer as it should.
    """
    async with (
        httpx.AsyncClient(timeout=10.0, headers=stack.key_header) as client,
        _computed(stack.stream, clock, run) as computed,
    ):
        try:
            return [
                await _visit(client, stack.urls, user, f"{run}-{number}", computed, clock)
                for number, user in enumerate(users, start=1)
            ]
        except httpx.HTTPError as error:
            raise Unavailable(f"the stack does not answer: {error or type(error).__name__}") from error


async def _visit(
    client: httpx.AsyncClient,
    urls: dict[str, str],
    user: HeldOut,
    request_id: str,
    computed: _Computed,
    clock: Clock,
) -> Visit:
    history = history_of(user)
    body = {
        "user_id": user.user,
        "request_id": request_id,
        "scene": user.circumstances.scene,
        "context": {"device": user.circumstances.device},
        "recent": [
            {"item_id": past.item_id, "behavior": past.behavior, "timestamp": past.timestamp} for past in history
        ],
    }
    began_s = clock.monotonic_s()
    await _told(client, f"{urls['trigger']}/trigger", body)
    triggered_s = clock.monotonic_s()
    await asyncio.sleep(OTHER_WORK_S)
    asked_s = clock.monotonic_s()
    question = {"request_id": request_id, "limit": str(LIST), "wait_ms": str(MAX_WAIT_MS)}
    page = await client.get(f"{urls['retrieval']}/retrieve/{quote(user.user, safe='')}", params=question)
    page.raise_for_status()
    answered_s = clock.monotonic_s()
    content = page.json()
    # Of a list that did not come there is nothing to tell.
    event = await computed.of(request_id) if content["outcome"] == "fresh" else None
    return Visit(
        user=user.user,
        request_id=request_id,
        history=history,
        outcome=content["outcome"],
        items=content["items"],
        trigger_ms=(triggered_s - began_s) * 1000,
        retrieve_ms=(answered_s - asked_s) * 1000,
        stages_ms={} if event is None else event.stages_ms,
        ready_after_ms=None if event is None else float(event.generated_at - event.triggered_at),
    )


async def _told(client: httpx.AsyncClient, url: str, body: object) -> None:
    """Say it until the stream has it, as a shop would: a disk that is slow to sync is enough for a 503.

    The same request id is one computation, however often it is said.
    """
    for _ in range(TRIES):
        answer = await client.post(url, json=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    answer.raise_for_status()


def history_of(user: HeldOut) -> tuple[Past, ...]:
    """The newest things the user did; where the log has no clock, its positions count as seconds."""
    newest = slice(max(0, len(user.items) - min(HISTORY, MAX_RECENT)), None)
    rows = zip(
        user.items[newest].tolist(),
        user.levels[newest].tolist(),
        user.timestamps[newest].tolist(),
        strict=True,
    )
    return tuple(Past(item, WIRE_NAMES[Level(level)], max(0, second) * 1000) for item, level, second in rows)


class _Computed:
    """Listens on the topic `candidates` for what was computed for a request."""

    def __init__(self, consumer: EventConsumer, clock: Clock) -> None:
        self._consumer = consumer
        self._clock = clock
        self._heard: dict[str, CandidatesComputed] = {}

    async def of(self, request_id: str) -> CandidatesComputed | None:
        """The event of a request, or None if it does not come."""
        until_s = self._clock.monotonic_s() + EVENT_WITHIN_S
        while request_id not in self._heard and self._clock.monotonic_s() < until_s:
            for delivery in await self._consumer.receive(100, 0.25):
                event = CandidatesComputed.model_validate_json(delivery.payload)
                self._heard[event.request_id] = event
                await self._consumer.ack(delivery)
        return self._heard.get(request_id)


@asynccontextmanager
async def _computed(settings: StreamSettings, clock: Clock, run: str) -> AsyncIterator[_Computed]:
    stream = open_stream(settings, clock)
    consumer = stream.consumer(Topic.CANDIDATES, "demo", run)
    try:
        yield _Computed(consumer, clock)
    finally:
        await consumer.close()
        await stream.close()
