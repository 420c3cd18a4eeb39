"""One run: the memory of open sessions; then page views through the pure join, state written as a process would."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from contracts.behaviors import Behavior
from contracts.messages import CandidatesComputed, InteractionRecorded
from model.sessions.rules import JoinRules
from model.sessions.session_join import SessionJoin
from services.bench.engine.memory import resident_mb

BEGAN_MS = 1_763_769_600_000
ITEMS = 100_000
PAGE = 10
LISTED = 100
# Of the items of a page, clicked and bought.
CLICKED, BOUGHT = 0.1, 0.01
VIEWS_PER_S = 2000
KEEP_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of processor; `open_mb`: MiB that so many open sessions added."""

    interactions: int
    samples: int
    seconds: float
    read_seconds: float
    open_sessions: int
    open_mb: float

    @property
    def per_s(self) -> float:
        """Interactions a second: messages read, joined, samples and state written as bytes."""
        return self.interactions / (self.seconds + self.read_seconds)


def measure(views: int, users: int, sessions: int, seed: int) -> Measured:
    """`views` page views of `users` users; before them `sessions` open sessions, each of a user of its own."""
    random = Random(seed)
    # First: what the other part frees would be used again, and not be seen.
    added_mb = open_mb(sessions, random)
    join = SessionJoin(JoinRules(window_ms=60_000, gap_ms=30_000))
    disk: dict[str, bytes] = {}
    messages = [message for view in range(views) for message in page_view(view, f"u{random.randrange(users)}", random)]
    began = time.process_time()
    events = [kind.model_validate_json(written) for kind, written in messages]
    read_seconds = time.process_time() - began
    began, samples, interactions = time.process_time(), 0, 0
    for number, event in enumerate(events):
        for user in join.unknown((event.user_id,)):
            join.admit(user, disk.get(user))
        join.feed(event)
        if isinstance(event, InteractionRecorded):
            interactions += 1
            for sample in join.advance(event.timestamp - 10_000):
                samples += bool(sample.model_dump_json())
        if number % KEEP_EVERY == 0:
            keep(join, disk)
    for sample in join.advance(BEGAN_MS * 2):
        samples += bool(sample.model_dump_json())
    keep(join, disk)
    seconds = time.process_time() - began
    return Measured(interactions, samples, seconds, read_seconds, sessions, added_mb)


def open_mb(sessions: int, random: Random) -> float:
    """Resident memory that so many open sessions add."""
    join = SessionJoin(JoinRules())
    before = resident_mb(os.getpid())
    for view in range(sessions):
        for kind, written in page_view(0, f"user-{view}", random):
            event = kind.model_validate_json(written)
            join.feed(event)
    join.forget_settled()
    return resident_mb(os.getpid()) - before


def keep(join: SessionJoin, disk: dict[str, bytes]) -> None:
    """What a process would hand to its disk."""
    for changed in join.changes():
        disk[changed.user] = changed.written
    join.forget_settled()


def page_view(
    view: int, user: str, random: Random
) -> Iterator[tuple[type[CandidatesComputed] | type[InteractionRecorded], bytes]]:
    """Messages of one request: its list, a page of exposures, some clicks and purchases."""
    at, request = BEGAN_MS + view * 1000 // VIEWS_PER_S, f"request-{view}-{user}"
    listed = tuple(random.sample(range(ITEMS), LISTED))
    told = {"event_id": request, "user_id": user, "request_id": request}
    found = CandidatesComputed.model_validate(
        {**told, "triggered_at": at, "generated_at": at, "model_version": "m", "catalog_version": "c",
         "item_ids": listed}
    )  # fmt: skip
    yield CandidatesComputed, found.model_dump_json().encode()
    for item in listed[:PAGE]:
        behaviors = [Behavior.EXPOSURE]
        if random.random() < CLICKED:
            behaviors.append(Behavior.CLICK)
        if random.random() < BOUGHT:
            behaviors.append(Behavior.PURCHASE)
        for later, behavior in enumerate(behaviors):
            fields = {**told, "item_id": item, "behavior": behavior, "timestamp": at + later, "scene": "home"}
            yield InteractionRecorded, InteractionRecorded.model_validate(fields).model_dump_json().encode()
