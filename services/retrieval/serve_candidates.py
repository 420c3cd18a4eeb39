"""The use case behind `GET /retrieve/{user}`: the best list there is for a user, and what it is worth.

Called by `api`.  Reads and waits, never computes; where the store is down there still is an outcome.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

from contracts.candidate_set import Candidate
from contracts.errors import CursorGone, StoreDown
from contracts.ids import ItemId, RequestId, UserId
from services.gateways.candidate_store.port import CandidateStore, ListHead, ListPage, version_of
from services.gateways.fallback.port import FallbackLists
from services.gateways.trigger_ledger.port import TriggerLedger
from services.retrieval.cursor import FallbackCursor, ListCursor, read_cursor, write_cursor
from services.retrieval.paging import fill_page, window
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page of a user's list.  `wait_s`: how long to wait for a computation that is under way."""

    user_id: UserId
    limit: int
    max_age_s: float
    request_id: RequestId | None = None
    cursor: str | None = None
    wait_s: float = 0.0
    exclude: frozenset[ItemId] = frozenset()
    scene: str | None = None


@dataclass(frozen=True, slots=True)
class Fresh:
    """Made for the asked request; or none was asked and the list is young enough."""

    head: ListHead
    age_ms: int
    items: tuple[Candidate, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Stale:
    """A list of this user's, but older than asked or made for another request."""

    head: ListHead
    age_ms: int
    items: tuple[Candidate, ...]
    next_cursor: str | None


class Reason(StrEnum):
    """Why a popular list was served."""

    NO_LIST = "no_list"
    STORE_DOWN = "store_down"
    CONTINUED = "continued"


@dataclass(frozen=True, slots=True)
class Fallback:
    """The scene's popular items: there is no list of this user's, or none that can be read now."""

    items: tuple[ItemId, ...]
    next_cursor: str | None
    reason: Reason


Outcome = Fresh | Stale | Fallback


@dataclass(frozen=True, slots=True)
class ServeCandidates:
    """Read a page, wait for a better list where asked to, fall back where there is none."""

    store: CandidateStore
    ledger: TriggerLedger
    fallback: FallbackLists
    clock: Clock

    async def __call__(self, asked: PageAsked) -> Outcome:
        """A page and what it is worth.

        Raises BadCursor (damaged, another user's) and CursorGone (its list is no longer kept).
        """
        cursor = None if asked.cursor is None else read_cursor(asked.user_id, asked.cursor)
        if isinstance(cursor, FallbackCursor):
            return self._popular(asked, cursor.scene, cursor.offset, Reason.CONTINUED)
        try:
            if isinstance(cursor, ListCursor):
                return await self._next_page(asked, cursor)
            return await self._first_page(asked)
        except StoreDown as error:
            # Counted by reason; a line per request would be a flood just when things are bad.
            log.debug("fallback served, the store is down: %s", error)
            return self._popular(asked, asked.scene, 0, Reason.STORE_DOWN)

    async def _first_page(self, asked: PageAsked) -> Outcome:
        outcome = await self._newest(asked)
        if isinstance(outcome, Fresh) or asked.wait_s <= 0:
            return outcome
        try:
            await self.ledger.wait_settled(asked.user_id, asked.request_id, asked.wait_s)
        except StoreDown as error:
            log.debug("not waited, the ledger is down: %s", error)
            return outcome
        return await self._newest(asked)

    async def _newest(self, asked: PageAsked) -> Outcome:
        page = await self.store.page(asked.user_id, 0, window(asked.limit, asked.exclude))
        if page is None or page.head.length == 0:
            return self._popular(asked, asked.scene, 0, Reason.NO_LIST)
        return self._judged(asked, page)

    async def _next_page(self, asked: PageAsked, cursor: ListCursor) -> Outcome:
        page = await self.store.page_of(
            asked.user_id, cursor.version, cursor.offset, window(asked.limit, asked.exclude)
        )
        if page is None:
            raise CursorGone("cursor: the list it pages through is no longer kept; start again")
        return self._judged(asked, page)

    def _judged(self, asked: PageAsked, page: ListPage) -> Fresh | Stale:
        shown = fill_page(page.items, page.offset, asked.limit, asked.exclude, lambda row: row.item_id)
        following: str | None = None
        if shown.next_offset is not None:
            following = write_cursor(asked.user_id, ListCursor(version_of(page.head), shown.next_offset))
        # Two machines' clocks may disagree by a little: an age is never negative.
        age_ms = max(0, self.clock.now_ms() - page.head.generated_at)
        kind = Fresh if _is_fresh(asked, page.head, age_ms) else Stale
        return kind(page.head, age_ms, shown.rows, following)

    def _popular(self, asked: PageAsked, scene: str | None, offset: int, reason: Reason) -> Fallback:
        rows = self.fallback.popular(scene)[offset : offset + window(asked.limit, asked.exclude)]
        shown = fill_page(rows, offset, asked.limit, asked.exclude, lambda item: item)
        following: str | None = None
        if shown.next_offset is not None:
            following = write_cursor(asked.user_id, FallbackCursor(scene, shown.next_offset))
        return Fallback(shown.rows, following, reason)


def _is_fresh(asked: PageAsked, head: ListHead, age_ms: int) -> bool:
    """A list made for the asked request does not age; one for another request is never fresh."""
    if asked.request_id is not None:
        return head.request_id == asked.request_id
    return age_ms <= asked.max_age_s * 1000
