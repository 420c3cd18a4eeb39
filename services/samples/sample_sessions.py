"""The use case behind the topic `samples`: take in what happened, write down what follows, publish it.

Its three steps may each be called again after they failed.  Killed between any two of them nothing is lost: what was
not written down is read again, what was not published is in the state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.errors import BadInput, BadMessage
from contracts.messages import SessionSampled, Topic
from model.sessions.session_join import SessionJoin
from model.sessions.watermark import Watermark
from services.gateways.event_stream.dead_letter import dead_letter
from services.gateways.event_stream.port import Delivery, EventPublisher, ReadMessage
from services.gateways.join_state.port import JoinState, Kept, KeptUser, Mark, Outgoing, Part, Step
from services.runtime.clock import Clock
from services.samples.incoming import KINDS, Event, Share, Taken, event_in, time_of
from services.samples.metrics import SamplesMetrics

# A turn settles no more users than this, however many are due: memory stays bounded after an outage.
SETTLED_A_TURN = 5000
PUBLISHED_AT_ONCE = 200
LOADED_AT_ONCE = 1000
# Between so many messages others may use the event loop.
FED_AT_ONCE = 500
# A letter may be six times as long as its message, and a stream takes about a megabyte.
LONGEST_BURIED = 100_000
FORGET_EVERY_S = 60.0
FORGOTTEN_AT_ONCE = 1000
LOOK_EVERY_S = 15.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """The join and its event time."""

    join: SessionJoin
    watermark: Watermark[Part]


@dataclass(slots=True)
class SampleSessions:
    """`kept`: what `state` gave when it was opened.  `user_ttl_s`: who did nothing for so long is forgotten."""

    memory: Memory
    state: JoinState
    publisher: EventPublisher
    clock: Clock
    metrics: SamplesMetrics
    kept: Kept
    share: Share = field(default_factory=Share)
    user_ttl_s: float = 30 * 86_400.0
    _marks: dict[Part, Mark] = field(init=False)
    _outgoing: list[Outgoing] = field(init=False)
    _made: list[Outgoing] = field(default_factory=list, init=False)
    _samples: int = field(default=0, init=False)
    _corrections: int = field(default=0, init=False)
    _failed: bool = field(default=False, init=False)
    _moved: bool = field(default=False, init=False)
    _to_be_cleared: bool = field(default=True, init=False)
    _known_topics: set[str] = field(default_factory=set, init=False)
    _silent_until_ms: dict[str, int] = field(default_factory=dict, init=False)
    _target: int = field(default=0, init=False)
    _forget_due_s: float = field(default=0.0, init=False)
    _look_due_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._marks = dict(self.kept.marks)
        self._outgoing = list(self.kept.outgoing)
        newest = {part: mark.newest for part, mark in self.kept.marks.items()}
        self.memory.watermark.restore(self.kept.watermark, newest)
        self.metrics.watermark_age.set_function(self._watermark_age_s)
        self.metrics.waiting.set_function(lambda: len(self._outgoing))
        self.metrics.users.set_function(lambda: self.memory.join.users)
        self.metrics.unsampled.set_function(lambda: self.memory.join.unsampled)

    def positions(self, topic: str) -> dict[str, str]:
        """By part: where reading goes on after all that is written down."""
        return {part: mark.position for (one, part), mark in self.kept.marks.items() if one == topic}

    @property
    def more_is_due(self) -> bool:
        """Whether another turn has something to do though nothing comes."""
        return self.memory.join.watermark < self._target

    def too_far(self, topic: str) -> frozenset[str]:
        """Parts of the topic that should wait for others."""
        return frozenset(part for one, part in self.memory.watermark.too_far() if one == topic)

    async def load(self) -> None:
        """Bring back who waits.  Raises StoreDown; then it begins anew."""
        join = self.memory.join
        join.advance(self.kept.watermark)
        last = ""
        while page := await self.state.waiting(last, LOADED_AT_ONCE):
            for one in page:
                self._admit(one.user, one.written)
            last = page[-1].user

    async def take(self, taken: Sequence[Taken]) -> None:
        """Let what was read enter the join.  Raises StoreDown; then nothing has."""
        events, letters = self._read(taken)
        join = self.memory.join
        unknown = join.unknown(event.user_id for _topic, _message, event in events)
        known = await self.state.users(unknown)
        for user in unknown:
            self._admit(user, known.get(user))
        self._made += letters
        for number, (topic, message, event) in enumerate(events):
            if number % FED_AT_ONCE == FED_AT_ONCE - 1:
                await asyncio.sleep(0)
            self._made += self._feed(topic, message, event)
        for one in taken:
            self._note(one)

    async def keep(self) -> None:
        """Let event time go on, and write down all that changed.  Raises StoreDown; then the same is tried again."""
        join = self.memory.join
        if self._known_topics >= KINDS.keys():
            self._target = self.memory.watermark.advance(min(self._silent_until_ms.values()))
        if not self._failed:
            samples = join.advance(self._target, SETTLED_A_TURN)
            self._corrections += sum(1 for sample in samples if sample.revision)
            self._samples += len(samples)
            self._made += [_outgoing(sample) for sample in samples]
        if join.changed or self._moved or self._made:
            users = [KeptUser(one.user, one.waits, one.written) for one in join.changes()]
            step = Step(users, self._marks, join.watermark, self._made)
            self._failed = True
            await self.state.keep(step, self.clock.now_ms())
            self._failed = False
            join.forget_settled()
            self._count_samples()
            # From here on it is what a new process would find.
            self.kept = Kept(join.watermark, dict(self._marks), ())
            self._outgoing, self._made, self._moved = self._made, [], False
            self._to_be_cleared = bool(self._outgoing)
        elif self._to_be_cleared:
            await self.state.sent()
            self._to_be_cleared = False
        await self._now_and_then()

    async def publish(self) -> None:
        """Publish what is written down.  Raises StreamDown; then some of it may have been."""
        while self._outgoing:
            some = self._outgoing[:PUBLISHED_AT_ONCE]
            calls = (self.publisher.publish(one.topic, one.key, one.payload) for one in some)
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            del self._outgoing[: len(some)]

    def _read(self, taken: Sequence[Taken]) -> tuple[list[tuple[str, ReadMessage, Event]], list[Outgoing]]:
        events: list[tuple[str, ReadMessage, Event]] = []
        letters: list[Outgoing] = []
        for one in taken:
            for message in one.batch.messages if one.batch else ():
                if not self.share.has(message.key):
                    continue
                try:
                    events.append((one.topic, message, event_in(one.topic, message, self.clock.now_ms())))
                except BadMessage as error:
                    letters.append(self._letter(one.topic, message, f"BadMessage: {error}"))
        return events, letters

    def _feed(self, topic: str, message: ReadMessage, event: Event) -> list[Outgoing]:
        """One event into the join; a dead letter where a fault of ours keeps it out."""
        try:
            outcome = self.memory.join.feed(event)
        except Exception as error:  # noqa: BLE001 - a bug that one message finds must not stop the others; it is logged
            _log.exception("message failed unexpectedly", extra={"topic": topic, "key": message.key})
            return [self._letter(topic, message, f"unexpected {type(error).__name__}")]
        self.metrics.events.labels(topic, outcome.value).add()
        # A clock that runs ahead somewhere must not take event time along.
        limit = message.published_at or self.clock.now_ms()
        self.memory.watermark.saw((topic, message.part), min(time_of(event), limit))
        return []

    def _note(self, one: Taken) -> None:
        """How far a topic was read, and which of its parts are silent."""
        watermark = self.memory.watermark
        if one.batch is None:
            for part in one.parts:
                watermark.away((one.topic, part))
            return
        for part in one.parts:
            watermark.add((one.topic, part))
        if one.topic not in self._known_topics:
            # A topic that was made anew may have fewer parts than the last process knew.
            for gone in [known for known in watermark.marks() if known[0] == one.topic and known[1] not in one.parts]:
                watermark.forget(gone)
            self._known_topics.add(one.topic)
        brought = self._move(one.topic, one.batch.messages)
        for part in one.batch.ended - brought:
            watermark.silent((one.topic, part), round(self.clock.monotonic_s() * 1000))
        self._silent_until_ms[one.topic] = one.asked_at_ms
        if one.batch.lost:
            self.metrics.lost.labels(one.topic).inc(one.batch.lost)

    def _move(self, topic: str, messages: Sequence[ReadMessage]) -> set[str]:
        """Stand behind these messages; the parts in which some were ours."""
        marks = self.memory.watermark.marks()
        ours: set[str] = set()
        foreign = 0
        for message in messages:
            if self.share.has(message.key):
                ours.add(message.part)
            else:
                foreign += 1
            self._marks[topic, message.part] = Mark(message.position, marks.get((topic, message.part), 0))
        if foreign:
            self.metrics.events.labels(topic, "foreign").add(foreign)
        self._moved = self._moved or bool(messages)
        return ours

    def _admit(self, user: str, written: bytes | None) -> None:
        try:
            self.memory.join.admit(user, written)
        except BadInput as error:
            _log.error("a user's sessions cannot be read: forgotten", extra={"key": user, "reason": str(error)})
            self.memory.join.admit(user, None)

    def _letter(self, topic: str, message: ReadMessage, reason: str) -> Outgoing:
        _log.warning("buried", extra={"topic": topic, "key": message.key, "reason": reason})
        self.metrics.events.labels(topic, "refused").add()
        payload = message.payload[:LONGEST_BURIED]
        if len(payload) < len(message.payload):
            reason += f" (the first {LONGEST_BURIED} of {len(message.payload)} bytes)"
        delivery = Delivery(topic, message.key, payload, 1, message.position, message.published_at)
        letter = dead_letter(delivery, f"samples-{self.share.name}", reason, self.clock.now_ms())
        return Outgoing(Topic.DEAD_LETTERS, message.key, letter)

    async def _now_and_then(self) -> None:
        now_s = self.clock.monotonic_s()
        if now_s >= self._look_due_s:
            self.metrics.open_sessions.set(self.memory.join.open_sessions)
            self._look_due_s = now_s + LOOK_EVERY_S
        if now_s >= self._forget_due_s:
            before_ms = self.clock.now_ms() - round(self.user_ttl_s * 1000)
            while await self.state.forget(before_ms, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE:
                pass
            self._forget_due_s = now_s + FORGET_EVERY_S

    def _count_samples(self) -> None:
        self.metrics.published.labels("first").inc(self._samples - self._corrections)
        self.metrics.published.labels("correction").inc(self._corrections)
        self._samples = self._corrections = 0

    def _watermark_age_s(self) -> float:
        watermark = self.memory.join.watermark
        return max(0.0, (self.clock.now_ms() - watermark) / 1000) if watermark else 0.0


def _outgoing(sample: SessionSampled) -> Outgoing:
    return Outgoing(Topic.SAMPLES, sample.user_id, sample.model_dump_json().encode())
