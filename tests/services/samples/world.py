"""The loop of samples over streams and a state in memory; and page views to feed it with."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from prometheus_client import CollectorRegistry

from contracts.behaviors import Behavior
from contracts.messages import CandidatesComputed, InteractionRecorded, SessionSampled, Topic, TriggerRequested
from model.sessions.rules import JoinRules
from model.sessions.session_join import SessionJoin
from model.sessions.watermark import Watermark
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.port import EventStream
from services.gateways.join_state.in_memory import MemoryJoinState
from services.gateways.join_state.port import JoinState
from services.runtime.clock import Clock, ManualClock
from services.samples.consumer import SampleTopics
from services.samples.incoming import Event, Share
from services.samples.metrics import SamplesMetrics
from services.samples.sample_sessions import Memory, SampleSessions
from services.samples.topic_reading import TopicReading

BEGAN_MS = 1_763_769_600_000
RULES = JoinRules(window_ms=10_000, gap_ms=3_000, correct_ms=60_000, history_items=8, pseudo_exposures=2)
TOPICS = (Topic.TRIGGERS, Topic.CANDIDATES, Topic.INTERACTIONS)
WITHIN_S = 20.0


def topic_of(event: Event) -> str:
    match event:
        case TriggerRequested():
            return Topic.TRIGGERS
        case CandidatesComputed():
            return Topic.CANDIDATES
        case InteractionRecorded():
            return Topic.INTERACTIONS


async def publish(stream: EventStream, events: Sequence[Event]) -> None:
    """As the other processes do."""
    for event in events:
        await stream.publish(topic_of(event), event.user_id, event.model_dump_json().encode())


def page_views(count: int, users: int, seed: int, began_ms: int = BEGAN_MS, every_ms: int = 50) -> list[Event]:
    """Requests with a trigger and a list; exposures, some clicks and purchases, some late.  In order of time."""
    random = Random(seed)
    events: list[Event] = []
    for number in range(count):
        user, request = f"user-{random.randrange(users)}", f"r-{number}"
        at = began_ms + number * every_ms
        told = {"event_id": f"e-{number}", "user_id": user, "request_id": request}
        listed = tuple(random.sample(range(1000), 8))
        events.append(TriggerRequested.model_validate({**told, "accepted_at": at, "scene": "home"}))
        made = {"triggered_at": at, "generated_at": at + 5, "model_version": "m", "catalog_version": "c"}
        events.append(CandidatesComputed.model_validate({**told, **made, "item_ids": listed}))
        for item in listed[:4]:
            done = [(Behavior.EXPOSURE, 100)]
            if random.random() < 0.4:
                done.append((Behavior.CLICK, random.randrange(200, 5000)))
            if random.random() < 0.2:
                done.append((Behavior.PURCHASE, random.randrange(300, 30_000)))
            events += [
                InteractionRecorded.model_validate(
                    {**told, "item_id": item, "behavior": behavior, "timestamp": at + later}
                )
                for behavior, later in done
            ]
    return sorted(events, key=_time_of)


def _time_of(event: Event) -> int:
    match event:
        case TriggerRequested():
            return event.accepted_at
        case CandidatesComputed():
            return event.triggered_at
        case InteractionRecorded():
            return event.timestamp


@dataclass(slots=True)
class Published:
    """What stands in `samples`, read as a trainer would; `repeated`: how many came more than once."""

    samples: dict[tuple[str, int], SessionSampled] = field(default_factory=dict)
    repeated: int = 0

    def add(self, payload: bytes) -> None:
        sample = SessionSampled.model_validate_json(payload)
        identity = (sample.sample_id, sample.revision)
        if identity in self.samples:
            assert self.samples[identity] == sample, "equal identity, another sample"
            self.repeated += 1
        self.samples[identity] = sample

    def by_session(self) -> dict[str, list[SessionSampled]]:
        """Revisions in order."""
        found: dict[str, list[SessionSampled]] = defaultdict(list)
        for (identity, _revision), sample in sorted(self.samples.items()):
            found[identity].append(sample)
        return found


@dataclass
class World:
    """One process after the other may run on it."""

    clock: Clock = field(default_factory=lambda: ManualClock(BEGAN_MS))
    stream: EventStream = field(init=False)
    state: JoinState = field(default_factory=MemoryJoinState)
    rules: JoinRules = RULES
    lateness_ms: int = 1000
    idle_ms: int = 1000
    share: Share = field(default_factory=Share)
    turn_messages: int = 50

    def __post_init__(self) -> None:
        self.stream = MemoryEventStream(self.clock)
        self.registry = CollectorRegistry()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SampleTopics]:
        """The loop, until the block ends."""
        self.registry = CollectorRegistry()
        metrics, name = SamplesMetrics(self.registry), f"samples-{self.share.name}"
        kept = await self.state.begin(f"share {self.share.name}")
        watermark = Watermark[tuple[str, str]](self.lateness_ms, self.idle_ms, ahead_ms=5000)
        memory = Memory(SessionJoin(self.rules), watermark)
        sessions = SampleSessions(memory, self.state, self.stream, self.clock, metrics, kept, self.share)
        readings = [
            TopicReading(
                topic,
                self.stream.reader(topic, name, sessions.positions(topic)),
                self.turn_messages,
                self.clock,
                Random(0),
                metrics,
            )
            for topic in TOPICS
        ]
        topics = SampleTopics(sessions, readings, self.clock, Random(0), metrics, turn_s=0.0)
        stop = asyncio.Event()
        task = asyncio.ensure_future(topics.run(stop))
        try:
            yield topics
        finally:
            stop.set()
            await asyncio.wait_for(task, WITHIN_S)
            for reading in readings:
                await reading.reader.close()
            await self.state.close()

    def metric(self, name: str, **labels: str) -> float:
        """What the process that ran last has counted."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def published(self) -> Published:
        """All of `samples`."""
        found = Published()
        reader = self.stream.reader(Topic.SAMPLES, "test", {})
        while batch := (await reader.read(1000, 0.0)).messages:
            for one in batch:
                found.add(one.payload)
        await reader.close()
        return found
