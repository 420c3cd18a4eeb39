"""What one member of a group has on its desk: messages to deliver, those due again, over all of its partitions.

The consumer's event loop alone touches it.  Knows no Kafka.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from services.gateways.event_stream.kafka.book import Fetched, Held, PartitionBook

# So many reminders of messages that are settled may lie about before they are cleared away.
_SLACK = 1000


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which message of which partition, in which of our spells with that partition."""

    partition: int
    offset: int
    spell: int

    @classmethod
    def read(cls, text: str) -> Receipt:
        """As `str` wrote it."""
        partition, offset, spell = map(int, text.split("-"))
        return cls(partition, offset, spell)

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}-{self.spell}"


@dataclass(frozen=True, slots=True)
class Handed:
    """A message as it is handed out."""

    receipt: Receipt
    key: bytes
    payload: bytes
    published_at: int
    attempt: int


@dataclass(slots=True)
class _Spell:
    """The time from getting a partition to losing it."""

    number: int
    book: PartitionBook


@dataclass(slots=True)
class Desk:
    """Holds at most about `most_held` messages and `most_bytes`: above that, `full`, nothing more should be fetched."""

    most_held: int
    most_bytes: int
    _spells: dict[int, _Spell] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)
    _fresh: deque[tuple[int, int, Held]] = field(default_factory=deque)
    _due: list[tuple[float, int, int, int, Held]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _held: int = 0
    _bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether fetching should wait."""
        return self._held >= self.most_held or self._bytes >= self.most_bytes

    @property
    def partitions(self) -> set[int]:
        """What this member has."""
        return set(self._spells)

    def keep_only(self, partitions: set[int]) -> None:
        """Lose the others: whoever has them now delivers what was not settled."""
        for partition in [one for one in self._spells if one not in partitions]:
            for held in self._spells.pop(partition).book.held.values():
                self._forget(held)

    def open(self, partition: int, low: int, note: str) -> None:
        """Get a partition, or learn what others settled of one that this member had all along."""
        spell = self._spells.get(partition)
        if spell is None:
            self._spells[partition] = _Spell(next(self._numbers), PartitionBook.open(low, note))
            return
        for held in [held for held in spell.book.held.values() if held.offset < low]:
            self._forget(held)
        spell.book.catch_up(low)

    def take_in(self, fetched: Fetched) -> None:
        """A message that was fetched.  Nothing for a partition that this member does not have."""
        spell = self._spells.get(fetched.partition)
        if spell is None:
            return
        held = spell.book.take_in(fetched)
        if held is not None:
            self._held += 1
            self._bytes += held.size
            self._fresh.append((fetched.partition, spell.number, held))

    def hand_out(self, most: int, now_s: float, again_s: float) -> list[Handed]:
        """At most `most` messages, those due again first; unless settled, each is due again `again_s` from now."""
        handed: list[Handed] = []
        while len(handed) < most and self._due and self._due[0][0] <= now_s:
            due_s, _order, partition, spell, held = heapq.heappop(self._due)
            if held.due_s == due_s:
                self._hand(partition, spell, held, now_s + again_s, handed)
        while len(handed) < most and self._fresh:
            self._hand(*self._fresh.popleft(), now_s + again_s, handed)
        return handed

    def next_due_s(self) -> float | None:
        """When the next message is due again; earlier where that one is settled already."""
        return self._due[0][0] if self._due else None

    def give_back(self, receipt: Receipt, due_s: float) -> bool:
        """It is due again at `due_s`.  False where this member no longer has it."""
        found = self._find(receipt)
        if found is None:
            return False
        found.due_s = due_s
        self._remind(due_s, receipt.partition, receipt.spell, found)
        return True

    def settle(self, receipt: Receipt) -> bool:
        """It is done.  False where this member no longer has its partition."""
        spell = self._spells.get(receipt.partition)
        if spell is None or spell.number != receipt.spell:
            return False
        if (held := spell.book.held.get(receipt.offset)) is not None:
            self._forget(held)
            spell.book.settle(receipt.offset)
        return True

    def positions(self) -> dict[int, tuple[int, str]]:
        """Partition -> what to commit: the first unsettled offset and the note."""
        return {partition: (spell.book.low, spell.book.note()) for partition, spell in self._spells.items()}

    def unsettled(self, log_ends: dict[int, int]) -> int:
        """Messages of this member's partitions that are not settled, given where their logs end."""
        return sum(
            spell.book.unsettled(log_ends[partition])
            for partition, spell in self._spells.items()
            if partition in log_ends
        )

    def _hand(self, partition: int, number: int, held: Held, due_s: float, handed: list[Handed]) -> None:
        spell = self._spells.get(partition)
        if spell is None or spell.number != number or held.offset not in spell.book.held:
            return
        attempt = spell.book.deliver(held, due_s)
        self._remind(due_s, partition, number, held)
        receipt = Receipt(partition, held.offset, number)
        handed.append(Handed(receipt, held.key, held.payload, held.published_at, attempt))

    def _remind(self, due_s: float, partition: int, number: int, held: Held) -> None:
        heapq.heappush(self._due, (due_s, next(self._order), partition, number, held))
        if len(self._due) > 2 * self._held + _SLACK:
            self._due = [one for one in self._due if one[4].due_s == one[0]]
            heapq.heapify(self._due)

    def _find(self, receipt: Receipt) -> Held | None:
        spell = self._spells.get(receipt.partition)
        if spell is None or spell.number != receipt.spell:
            return None
        return spell.book.held.get(receipt.offset)

    def _forget(self, held: Held) -> None:
        self._held -= 1
        self._bytes -= held.size
        # What still stands in a queue of ours is passed over when its turn comes, and weighs nothing until then.
        held.due_s = float("inf")
        held.key = held.payload = b""
