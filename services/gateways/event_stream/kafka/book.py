"""What a member of a group knows of one partition: what is settled, what it holds, how often each was delivered.

A consumer keeps one per partition it has.  Kafka itself remembers a single number per partition, the first offset that
is not settled, and a note beside it: `note` writes there what lies beyond, so that the next owner of the partition
repeats nothing needlessly and goes on counting attempts.  Where a broker loses the note, it only repeats more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Kafka's default limit is 4096 bytes.
LONGEST_NOTE = 4000


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message as it came; `published_at` in Unix milliseconds."""

    partition: int
    offset: int
    key: bytes
    payload: bytes
    published_at: int = 0


@dataclass(slots=True)
class Held:
    """A message that is not settled.  `attempt`: how often it was delivered, by anybody."""

    offset: int
    key: bytes
    payload: bytes
    published_at: int
    attempt: int
    due_s: float = 0.0
    delivered: bool = False

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, about."""
        return len(self.key) + len(self.payload) + 200


class _Note(BaseModel):
    """Relative to the first unsettled offset: d delivered up to, s settled ranges [first, last], a attempts above 1."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    d: int = Field(default=0, ge=0)
    s: list[tuple[int, int]] = []
    a: dict[int, int] = {}


@dataclass(slots=True)
class PartitionBook:
    """`low`: all below is settled.  `end`: all below is known.  `held` is in order of offsets."""

    low: int
    end: int
    held: dict[int, Held] = field(default_factory=dict)
    _settled: set[int] = field(default_factory=set)
    _attempts: dict[int, int] = field(default_factory=dict)
    _delivered_to: int = 0

    @classmethod
    def open(cls, low: int, note: str = "") -> PartitionBook:
        """What the last owner left: the first unsettled offset, and its note.  An unreadable note says nothing."""
        book = cls(low, low, _delivered_to=low)
        try:
            read = _Note.model_validate_json(note or "{}")
        except ValidationError:
            return book
        book._delivered_to = low + read.d
        book._settled = {low + n for first, last in read.s if last < 100_000 for n in range(first, last + 1)}
        book._attempts = {low + n: attempts for n, attempts in read.a.items()}
        return book

    def take_in(self, fetched: Fetched) -> Held | None:
        """A fetched message, to be delivered; None where it is settled or known already."""
        offset = fetched.offset
        if offset < self.end:
            return None
        self.end = offset + 1
        if offset in self._settled:
            return None
        before = self._attempts.pop(offset, 1) if offset < self._delivered_to else 0
        held = Held(offset, fetched.key, fetched.payload, fetched.published_at, before)
        self.held[offset] = held
        return held

    def deliver(self, held: Held, due_s: float) -> int:
        """Hand it out once more; it is due again at `due_s`.  The attempt that this is, counted from 1."""
        held.attempt += 1
        held.due_s = due_s
        held.delivered = True
        return held.attempt

    def settle(self, offset: int) -> None:
        """It needs no further delivery."""
        if self.held.pop(offset, None) is None:
            return
        self._settled.add(offset)
        self._raise_low(next(iter(self.held), self.end))

    def catch_up(self, low: int) -> None:
        """Somebody else settled all below `low` meanwhile."""
        for offset in [offset for offset in self.held if offset < low]:
            del self.held[offset]
        self.end = max(self.end, low)
        if low > self.low:
            self._raise_low(max(low, min(next(iter(self.held), self.end), self.end)))

    def note(self) -> str:
        """What lies beyond `low`, for the next owner; as much of it as fits."""
        delivered = [held for held in self.held.values() if held.delivered]
        reach = max([self._delivered_to, *(held.offset + 1 for held in delivered), *(n + 1 for n in self._settled)])
        ranges = list(_ranges(sorted(self._settled), self.low))
        # Also of those that were not delivered in this spell: whoever has a partition for a moment forgets nothing.
        attempts = {held.offset - self.low: held.attempt for held in self.held.values() if held.attempt > 1}
        attempts |= {offset - self.low: known for offset, known in self._attempts.items() if offset >= self.low}
        while True:
            written = {"d": max(0, reach - self.low), "s": ranges, "a": attempts}
            text = json.dumps({name: value for name, value in written.items() if value}, separators=(",", ":"))
            if len(text) <= LONGEST_NOTE:
                return "" if text == "{}" else text
            ranges = ranges[: len(ranges) // 2]
            attempts = dict(list(attempts.items())[: len(attempts) // 2])

    def unsettled(self, log_end: int) -> int:
        """Messages up to the end of the log that are not settled."""
        return max(0, log_end - self.low - sum(1 for offset in self._settled if offset >= self.low))

    def _raise_low(self, low: int) -> None:
        for offset in range(self.low, low):
            self._settled.discard(offset)
        self.low = low


def _ranges(numbers: list[int], origin: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers as (first, last), relative to `origin`."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0] - origin, members[-1] - origin
