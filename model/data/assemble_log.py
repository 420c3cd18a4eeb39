"""Raw events, in any order, become an InteractionLog: sorted, numbered, levelled, split.

Called by the reader and by the marketplace, so that both obey the same rules.  Never touches a file.
"""

# Shapes: E events.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.behaviors import LEVEL_OF
from model.data.arrays import Int8, Int32, Int64
from model.data.leave_one_out import leave_one_out
from model.data.log import FIRST_CLOCK_SECOND, InteractionLog
from model.data.requests import number_groups


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A column of names: which name each event has."""

    names: tuple[str, ...]
    index: Int32
    """[E] into `names`; -1 where unknown."""

    def by_name(self) -> Named:
        """The same column with its names sorted, those nobody uses left out."""
        used = np.unique(self.index[self.index >= 0])
        kept = sorted(used.tolist(), key=lambda place: self.names[place])
        place_of = np.full(len(self.names) + 1, -1, np.int32)
        place_of[kept] = np.arange(len(kept))
        return Named(tuple(self.names[place] for place in kept), place_of[self.index])


@dataclass(frozen=True, slots=True, eq=False)
class RawEvents:
    """E events as a source has them; timestamps all -1, all positions, or all Unix seconds."""

    user: Named
    item: Int64
    behavior: Named
    timestamp: Int64
    request: Int64 | None
    """[E] equal for the events of one request of one user; None: a user's events of the same time are one."""
    split: Int8 | None
    """[E] of `Split`; None: leave one out."""
    scene: Named
    device: Named


def nobody_knows(events: int) -> Named:
    """A column of names that the source does not have."""
    return Named((), np.full(events, -1, np.int32))


def assemble_log(raw: RawEvents) -> InteractionLog:
    """Sort by (user, timestamp, given order), number the requests, look up the levels, split if needed."""
    timestamp_E = raw.timestamp
    ordered = bool(timestamp_E.min(initial=0) >= 0)
    order_E = np.lexsort((timestamp_E, raw.user.index))
    user_E = raw.user.index[order_E]
    request_E = _requests(raw, ordered)[order_E]
    session_E = number_groups(user_E.astype(np.int64), request_E)

    behavior = raw.behavior.by_name()
    level_of = np.array([LEVEL_OF.get(name, 0) for name in behavior.names], np.int8)
    level_E = level_of[behavior.index][order_E]
    scene, device = raw.scene.by_name(), raw.device.by_name()
    return InteractionLog(
        users=raw.user.names,
        user=user_E,
        item=raw.item[order_E],
        behaviors=behavior.names,
        behavior=behavior.index[order_E].astype(np.int8),
        level=level_E,
        timestamp=timestamp_E[order_E],
        session=session_E,
        split=_splits(raw.split, order_E, ordered, (user_E, level_E, session_E)),
        scenes=scene.names,
        scene=scene.index[order_E].astype(np.int16),
        devices=device.names,
        device=device.index[order_E].astype(np.int16),
        ordered=ordered,
        clock=ordered and bool(timestamp_E.min(initial=FIRST_CLOCK_SECOND) >= FIRST_CLOCK_SECOND),
    )


def _requests(raw: RawEvents, ordered: bool) -> Int64:
    if raw.request is not None:
        return raw.request
    # Without order, "the same time" says nothing: every event stands alone.
    return raw.timestamp if ordered else np.arange(len(raw.item), dtype=np.int64)


def _splits(given: Int8 | None, order_E: Int64, ordered: bool, sorted_: tuple[Int32, Int8, Int64]) -> Int8:
    if given is not None:
        chosen: Int8 = given[order_E]
        return chosen
    if not ordered:
        return np.zeros(len(order_E), np.int8)
    return leave_one_out(*sorted_)
