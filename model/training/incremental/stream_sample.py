"""One session's sample as training keeps it: compact, by item ids, in no catalogue's words.

What is kept so outlives a change of the catalogue or of the whole model.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Self

import msgspec
import numpy as np

from contracts.behaviors import Level
from contracts.messages import SessionSampled
from model.data.arrays import Int8, Int64
from model.data.timelines import HeldOut, RequestCircumstances, Session, Timeline

# Shapes: K items of the session, T history.

KEY_BITS = 64


class StreamSample(msgspec.Struct, frozen=True, array_like=True):
    """A `SessionSampled`; items and histories as int64, levels as int8, as they lie in memory (little endian)."""

    sample_id: str
    revision: int
    user: str
    requested_at: int
    newest_event_at: int
    scene: str | None
    device: str | None
    item: bytes
    level: bytes
    past_item: bytes
    past_level: bytes

    @classmethod
    def of(cls, message: SessionSampled) -> Self:
        """The sample of a message."""
        return cls(
            sample_id=message.sample_id,
            revision=message.revision,
            user=message.user_id,
            requested_at=message.requested_at,
            newest_event_at=message.newest_event_at,
            scene=message.scene,
            device=message.device,
            item=np.array(message.item_ids, "<i8").tobytes(),
            level=np.array(message.levels, np.int8).tobytes(),
            past_item=np.array(message.history_item_ids, "<i8").tobytes(),
            past_level=np.array(message.history_levels, np.int8).tobytes(),
        )

    @property
    def key(self) -> int:
        """64 bits of its id: what it is known by, and held out by."""
        return int.from_bytes(blake2b(self.sample_id.encode(), digest_size=KEY_BITS // 8).digest(), "little")

    @property
    def items_K(self) -> Int64:
        """[K] distinct."""
        return np.frombuffer(self.item, "<i8").astype(np.int64)

    @property
    def levels_K(self) -> Int8:
        """[K] the strongest `Level` each got."""
        return np.frombuffer(self.level, np.int8)

    def history(self, weakest: Level) -> tuple[Int64, Int8]:
        """[T] items and levels before the request, oldest first, of this level and above."""
        level_T = np.frombuffer(self.past_level, np.int8)
        kept_T = level_T >= weakest
        return np.frombuffer(self.past_item, "<i8").astype(np.int64)[kept_T], level_T[kept_T]

    @property
    def circumstances(self) -> RequestCircumstances:
        """Of its request, as a prompt tells them."""
        return RequestCircumstances(self.scene, self.requested_at // 1000, self.device)

    def timeline(self, weakest: Level) -> Timeline:
        """The sample as training from a log sees it: one user, one request."""
        item_T, level_T = self.history(weakest)
        session = Session(len(item_T), self.items_K, self.levels_K, self.circumstances)
        return Timeline(self.user, item_T, level_T, np.zeros(len(item_T), np.int64), (session,))

    def held_out(self, weakest: Level) -> HeldOut | None:
        """The sample as evaluation asks about it; None where it has no history, or nothing was clicked or bought."""
        item_T, level_T = self.history(weakest)
        item_K, level_K = self.items_K, self.levels_K
        right = {
            "click": frozenset(item_K[level_K >= Level.CLICK].tolist()),
            "purchase": frozenset(item_K[level_K >= Level.PURCHASE].tolist()),
        }
        truth = {name: items for name, items in right.items() if items}
        if not len(item_T) or not truth:
            return None
        return HeldOut(self.user, item_T, level_T, np.zeros(len(item_T), np.int64), self.circumstances, truth)


def newest_of_each_user(samples: list[StreamSample]) -> list[StreamSample]:
    """One sample a user, the newest: a user who does much must not speak for many.  By user."""
    newest: dict[str, StreamSample] = {}
    for sample in samples:
        other = newest.get(sample.user)
        if other is None or (sample.requested_at, sample.sample_id) > (other.requested_at, other.sample_id):
            newest[sample.user] = sample
    return [newest[user] for user in sorted(newest)]
