"""What the console asks of the stack's own processes: trigger's and retrieval's routes, and the face of any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.behaviors import Behavior
from contracts.ids import ItemId, RequestId, UserId
from contracts.messages import RecentInteraction


@dataclass(frozen=True, slots=True)
class Accepted:
    """A trigger that the stream has.  `accepted_at`: Unix ms by the trigger process's clock."""

    request_id: RequestId
    accepted_at: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One item of a page; score and sid are None in a fallback."""

    item_id: ItemId
    score: float | None
    sid: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Page:
    """What retrieval answered.  `outcome`: fresh, stale or fallback; the rest is None in a fallback."""

    outcome: str
    request_id: RequestId | None
    model_version: str | None
    catalog_version: str | None
    generated_at: int | None
    items: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that a user did with an item of a page.  `timestamp`: Unix ms; `position` counts from 0."""

    item_id: ItemId
    behavior: Behavior
    timestamp: int
    request_id: RequestId | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """How a process says that it is.  `why`: what stands in the way, None where nothing does.

    `metrics`: its exposition, None where it was not told; `no_metrics` then says why.
    """

    ready: bool
    why: str | None
    release: str | None
    metrics: str | None
    no_metrics: str | None = None


class TriggerProcess(Protocol):
    """Raises Unavailable where it cannot be asked, BadRequest, Overloaded."""

    async def trigger(self, user: UserId, scene: str | None, recent: Sequence[RecentInteraction]) -> Accepted:
        """A user's request begins."""
        ...

    async def tell(self, user: UserId, happened: Sequence[Happened]) -> None:
        """What the user did."""
        ...


class RetrievalProcess(Protocol):
    """Raises as TriggerProcess does."""

    async def page(self, user: UserId, request: RequestId | None, scene: str | None, limit: int, wait_ms: int) -> Page:
        """The first page of the user's list; waits up to `wait_ms` for a computation that is under way."""
        ...


class ProcessFaces(Protocol):
    """Any process, by its URL.  Raises nothing: a process that is down is an answer."""

    async def look(self, url: str) -> Face:
        """Ask readiness, metrics and release."""
        ...
