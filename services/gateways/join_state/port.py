"""The join's memory, written in steps that are there whole or not at all.

Deliberately not in the contract: two owners.  One process has one state; it is no store that others look into.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Part = tuple[str, str]
"""Topic, and part of it."""


@dataclass(frozen=True, slots=True)
class KeptUser:
    """One user; `waits` False: nothing is open, it is needed only when the user comes again."""

    user: str
    waits: bool
    written: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that follows from a step and is to be published."""

    topic: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a part was read: where to go on, and its newest event, Unix milliseconds."""

    position: str
    newest: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step: users that changed, parts that were read, event time, and all that is to be published now."""

    users: Sequence[KeptUser]
    marks: Mapping[Part, Mark]
    watermark: int
    outgoing: Sequence[Outgoing]


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the last owner stood.  `outgoing` may have been published, in part or whole."""

    watermark: int
    marks: Mapping[Part, Mark]
    outgoing: Sequence[Outgoing]


class JoinState(Protocol):
    """Belongs to one event loop; one call at a time.  All calls raise StoreDown; then nothing has changed."""

    async def begin(self, owner: str) -> Kept:
        """Take possession; of a new state nothing is kept.

        Raises BadInput for a state that belongs to another owner, that another process has open, or that is none.
        """
        ...

    async def waiting(self, after: str, most: int) -> list[KeptUser]:
        """Users that wait, by name, those after this one; fewer than `most`: these were the last."""
        ...

    async def users(self, names: Collection[str]) -> dict[str, bytes]:
        """Those of them that are known, as they were written."""
        ...

    async def keep(self, step: Step, now_ms: int) -> None:
        """Afterwards it survives anything.  What was to be published before is forgotten: it has been."""
        ...

    async def sent(self) -> None:
        """All that was to be published has been."""
        ...

    async def forget(self, before_ms: int, most: int) -> int:
        """Drop at most `most` users that wait for nothing and changed last before this time; how many there were."""
        ...

    async def close(self) -> None:
        """Give it up.  Raises nothing."""
        ...
