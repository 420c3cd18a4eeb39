"""All that the join remembers of one user, and its form on disk."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from contracts.errors import BadInput
from model.sessions.past_events import PastEvents
from model.sessions.rules import JoinRules
from model.sessions.session import Session

NEVER = 2**62
SessionKey = str | int
"""A request id, or the beginning of a session without one."""

LooseEvent = tuple[int, int, int, str]
"""Timestamp, item, behaviour's code, scene ('' for none) of an event that names no request."""


class _StoredSession(msgspec.Struct, frozen=True, array_like=True):
    request_id: str | None
    began_at: int
    ends_at: int
    requested_at: int
    scene: str | None
    device: str | None
    told_scene: str | None
    told_scene_at: int
    events: bytes
    candidates: bytes | None
    model_version: str | None
    catalog_version: str | None
    revision: int


class _StoredUser(msgspec.Struct, frozen=True, array_like=True):
    times: bytes
    items: bytes
    codes: bytes
    open: list[_StoredSession]
    closed: list[_StoredSession]
    loose: list[LooseEvent]
    format: int = 1


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_StoredUser)


@dataclass(slots=True)
class UserSessions:
    """`open`: by request.  `closed`: settled, oldest first.  `loose`: sorted.  `due`: the timer that is set."""

    past: PastEvents = field(default_factory=PastEvents)
    open: dict[str, Session] = field(default_factory=dict)
    closed: dict[SessionKey, Session] = field(default_factory=dict)
    loose: list[LooseEvent] = field(default_factory=list)
    due: int = NEVER

    @property
    def waits(self) -> bool:
        """Whether something of this user's is not settled."""
        return bool(self.open or self.loose)

    def next_due(self, rules: JoinRules) -> int:
        """When the first of what waits is due."""
        due = min((session.began_at for session in self.open.values()), default=NEVER) + rules.window_ms
        return min(due, self.first_run(rules)[1]) if self.loose else due

    def add_loose(self, event: LooseEvent) -> bool:
        """False where it is there already."""
        loose = self.loose
        place = bisect_left(loose, event)
        if place < len(loose) and loose[place] == event:
            return False
        loose.insert(place, event)
        return True

    def first_run(self, rules: JoinRules) -> tuple[int, int]:
        """How many of the loose events make the first session, and when that is due."""
        first, count = self.loose[0][0], 1
        for one, following in pairwise(self.loose):
            if following[0] - one[0] >= rules.gap_ms or following[0] - first >= rules.window_ms:
                break
            count += 1
        return count, min(self.loose[count - 1][0] + rules.gap_ms, first + rules.window_ms)

    def needed_from(self, watermark: int, rules: JoinRules) -> int:
        """A session that is open, may still be corrected or may still begin did not begin before this."""
        began = [session.began_at for sessions in (self.open, self.closed) for session in sessions.values()]
        if self.loose:
            began.append(self.loose[0][0])
        return min([watermark - rules.window_ms, *began])

    def forget_closed(self, watermark: int, rules: JoinRules) -> None:
        """Drop what can no longer be corrected, and what is too much."""
        surplus = len(self.closed) - rules.closed_sessions
        for place, (key, session) in enumerate(list(self.closed.items())):
            if place >= surplus and session.began_at + rules.correct_ms > watermark:
                break
            del self.closed[key]

    def write(self) -> bytes:
        """For the disk of this machine: numbers as they lie in memory."""
        past = self.past
        return _encoder.encode(
            _StoredUser(
                times=past.times.tobytes(),
                items=past.items.tobytes(),
                codes=bytes(past.codes),
                open=[_stored(session) for session in self.open.values()],
                closed=[_stored(session) for session in self.closed.values()],
                loose=self.loose,
            )
        )

    @classmethod
    def read(cls, written: bytes) -> UserSessions:
        """As `write` wrote it.  Raises BadInput for anything else."""
        try:
            stored = _decoder.decode(written)
            user = cls()
            user.past.times = _numbers(stored.times)
            user.past.items = _numbers(stored.items)
            user.past.codes = bytearray(stored.codes)
            for session in _sessions(stored.open):
                assert session.request_id is not None
                user.open[session.request_id] = session
            for session in _sessions(stored.closed):
                user.closed[key_of(session)] = session
            user.loose = list(stored.loose)
        except (msgspec.DecodeError, ValueError, AssertionError) as error:
            raise BadInput(f"no user's sessions: {error}") from error
        return user


def key_of(session: Session) -> SessionKey:
    """What it is found by among the user's."""
    return session.began_at if session.request_id is None else session.request_id


def _numbers(written: bytes) -> array[int]:
    numbers = array("q")
    numbers.frombytes(written)
    return numbers


def _stored(session: Session) -> _StoredSession:
    candidates = session.candidates
    return _StoredSession(
        session.request_id,
        session.began_at,
        session.ends_at,
        session.requested_at,
        session.scene,
        session.device,
        session.told_scene,
        session.told_scene_at,
        session.events.tobytes(),
        None if candidates is None else candidates.tobytes(),
        session.model_version,
        session.catalog_version,
        session.revision,
    )


def _sessions(stored: list[_StoredSession]) -> Iterator[Session]:
    for one in stored:
        yield Session(
            one.request_id,
            one.began_at,
            one.ends_at,
            one.requested_at,
            one.scene,
            one.device,
            one.told_scene,
            one.told_scene_at,
            _numbers(one.events),
            None if one.candidates is None else _numbers(one.candidates),
            one.model_version,
            one.catalog_version,
            one.revision,
        )
