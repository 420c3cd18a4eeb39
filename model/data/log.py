"""The interaction log: every event of a data set, as parallel arrays.

Made by `assemble_log`, read by timelines, training and evaluation.  Never changed after its birth.
"""

# Shapes: E events.

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from model.data.arrays import Int8, Int16, Int32, Int64

# Unix seconds below this (March 1973) are positions in a user's sequence, not clock times.
FIRST_CLOCK_SECOND = 100_000_000


class Split(IntEnum):
    """What an event may be used for."""

    TRAIN = 0
    VALID = 1
    TEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class InteractionLog:
    """E events, sorted by (user, timestamp, the order they were given in)."""

    users: tuple[str, ...]
    """Names; users stand in the order of their first event in the source."""
    user: Int32
    """[E] index into `users`, not falling."""
    item: Int64
    """[E] item ids; -1 only where an event without feedback names no item."""
    behaviors: tuple[str, ...]
    """Names as the source has them, sorted."""
    behavior: Int8
    """[E] index into `behaviors`."""
    level: Int8
    """[E] `contracts.behaviors.Level`; 0 carries no feedback (`search`, or a name nobody knows)."""
    timestamp: Int64
    """[E] Unix seconds; positions where `clock` is false; -1 everywhere where `ordered` is false."""
    session: Int64
    """[E] equal for the events of one request; numbered from 0 by first event, so users do not mix."""
    split: Int8
    """[E] `Split`."""
    scenes: tuple[str, ...]
    """Names, sorted; empty where the source has none."""
    scene: Int16
    """[E] index into `scenes`, -1 unknown."""
    devices: tuple[str, ...]
    """Names, sorted; empty where the source has none."""
    device: Int16
    """[E] index into `devices`, -1 unknown."""
    ordered: bool
    """False: timestamps are unknown, so nothing here comes before anything else."""
    clock: bool
    """False: timestamps are no Unix seconds."""

    def __post_init__(self) -> None:
        per_event = (self.item, self.behavior, self.level, self.timestamp, self.session)
        columns = (*per_event, self.split, self.scene, self.device)
        if any(column.shape != self.user.shape for column in columns):
            raise ValueError("a log's arrays must have one entry per event")
