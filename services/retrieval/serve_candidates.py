"""The use case behind `GET /retrieve/{user}`: the best list there is for a user, and what it is worth.

Called by `api`.  Reads and waits, never computes; where the store is down there still is an outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from contracts.candidate_set import MAX_ITEMS, Candidate
from contracts.errors import CursorGone, StoreDown
from contracts.ids import ItemId, RequestId, UserId
from services.gateways.candidate_store.port import CandidateStore, ListHead, ListPage, version_of
from services.gateways.candidate_store.records import Records
from services.gateways.fallback.port import FallbackLists
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.trigger_ledger.port import TriggerLedger
from services.retrieval.cursor import FallbackCursor, ListCursor, lists_mark, read_cursor, write_cursor
from services.retrieval.paging import MORE_NEEDED, LeftOut, fill_page, window
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


class PageAsked(msgspec.Struct, frozen=True, gc=False):
    """A page of a user's list.  `wait_s`: how long to wait for a computation that is under way."""

    user_id: UserId
    limit: int
    max_age_s: float
    request_id: RequestId | None = None
    cursor: str | None = None
    wait_s: float = 0.0
    exclude: frozenset[ItemId] = frozenset()
    scene: str | None = None

    def without_wait(self) -> PageAsked:
        """The same, answered with what there is."""
        return replace(self, wait_s=0.0)


class Masking(StrEnum):
    """How the computation compares with the moment retrieve asked for it."""

    READY = "ready"
    """The list of the asked request was there: its computation cost the page view nothing."""
    WAITED = "waited"
    """It came while retrieve waited."""
    LATE = "late"
    """It was not there in time."""


class Listed(msgspec.Struct, frozen=True, gc=False):
    """A page of a list of this user's.  `version` is the list's, `stamp` that of what was hidden; `items` decodes.

    `masking` is None where no request was asked for, and on next pages.
    """

    head: ListHead
    version: str
    stamp: str
    age_ms: int
    records: Records
    next_cursor: str | None
    masking: Masking | None = None

    @property
    def items(self) -> tuple[Candidate, ...]:
        """The items of the page."""
        return self.records.candidates()


class Fresh(Listed, frozen=True, gc=False):
    """Made for the asked request; or none was asked and the list is young enough."""


class Stale(Listed, frozen=True, gc=False):
    """A list of this user's, but older than asked or made for another request."""


class Reason(StrEnum):
    """Why a popular list was served."""

    NO_LIST = "no_list"
    STORE_DOWN = "store_down"
    CONTINUED = "continued"


class Fallback(msgspec.Struct, frozen=True, gc=False):
    """The scene's popular items: there is no list of this user's, or none that can be read now."""

    items: tuple[ItemId, ...]
    next_cursor: str | None
    reason: Reason
    stamp: str = "0"
    masking: Masking | None = None


Outcome = Fresh | Stale | Fallback


@dataclass(frozen=True, slots=True)
class ServeCandidates:
    """Read a page, wait for a better list where asked to, fall back where there is none."""

    store: CandidateStore
    ledger: TriggerLedger
    fallback: FallbackLists
    hidden: HiddenNow
    clock: Clock
    may_serve: Callable[[ListHead], bool] = lambda _head: True
    """Whether a list may be shown: one of a model that was replaced may not, where that is set."""

    async def __call__(
        self, asked: PageAsked, aside: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Outcome:
        """A page and what it is worth; while a computation is waited for, the context `aside` is open.

        Raises BadCursor (damaged, another user's) and CursorGone (its list is no longer kept).
        """
        cursor = None if asked.cursor is None else read_cursor(asked.user_id, asked.cursor)
        if isinstance(cursor, FallbackCursor):
            if cursor.lists != lists_mark(self.fallback.version):
                raise CursorGone("cursor: the popular list it pages through has been replaced; start again")
            return self._popular(asked, cursor.scene, cursor.offset, Reason.CONTINUED)
        try:
            if isinstance(cursor, ListCursor):
                return await self._next_page(asked, cursor)
            return await self._first_page(asked, aside)
        except StoreDown as error:
            # Counted by reason; a line per request would be a flood just when things are bad.
            log.debug("fallback served, the store is down: %s", error)
            masking = None if asked.request_id is None or cursor is not None else Masking.LATE
            return self._popular(asked, asked.scene, 0, Reason.STORE_DOWN, masking)

    async def _first_page(self, asked: PageAsked, aside: Callable[[], AbstractContextManager[None]]) -> Outcome:
        outcome = await self._newest(asked, Masking.READY)
        if isinstance(outcome, Fresh) or asked.wait_s <= 0:
            return outcome
        try:
            with aside():
                await self.ledger.wait_settled(asked.user_id, asked.request_id, asked.wait_s)
        except StoreDown as error:
            log.debug("not waited, the ledger is down: %s", error)
            return outcome
        return await self._newest(asked, Masking.WAITED)

    async def _newest(self, asked: PageAsked, masking: Masking) -> Outcome:
        left_out = self._left_out(asked)
        rows = window(asked.limit, left_out)
        page = await self.store.page(asked.user_id, 0, rows)
        if page is not None and asked.request_id is not None and asked.request_id != page.head.request_id:
            # Another request of this user's (another tab) may have followed: the one before is kept for a while.
            before = await self.store.previous_page(asked.user_id, 0, rows)
            if before is not None and before.head.request_id == asked.request_id:
                page = before
        if page is None or page.head.length == 0 or not self.may_serve(page.head):
            late = None if asked.request_id is None else Masking.LATE
            return self._popular(asked, asked.scene, 0, Reason.NO_LIST, late)
        if left_out.nothing:
            return self._judged(asked, page, _whole(page, asked.limit), left_out.stamp, masking)
        return self._judged(asked, page, await self._filled(asked, page, left_out), left_out.stamp, masking)

    async def _next_page(self, asked: PageAsked, cursor: ListCursor) -> Outcome:
        left_out = self._left_out(asked)
        rows = window(asked.limit, left_out)
        page = await self.store.page_of(asked.user_id, cursor.version, cursor.offset, rows)
        if page is None or not self.may_serve(page.head):
            raise CursorGone("cursor: the list it pages through is no longer kept; start again")
        return self._judged(asked, page, await self._filled(asked, page, left_out), left_out.stamp, None)

    def _left_out(self, asked: PageAsked) -> LeftOut:
        # What is hidden and its stamp are taken together: with a later stamp a page from before would pass for one of
        # after, and be kept by its caller for good.
        hidden = self.hidden.now
        return LeftOut(asked.exclude, hidden.items, hidden.stamp)

    def _judged(
        self, asked: PageAsked, page: ListPage, shown: tuple[Records, int | None], stamp: str, masking: Masking | None
    ) -> Fresh | Stale:
        head, (records, next_offset) = page.head, shown
        version = version_of(head)
        following = None if next_offset is None else write_cursor(asked.user_id, ListCursor(version, next_offset))
        # Two machines' clocks may disagree by a little: an age is never negative.
        age_ms = max(0, self.clock.now_ms() - head.generated_at)
        if asked.request_id is None:
            masking = None
        if _is_fresh(asked, head, age_ms):
            return Fresh(head, version, stamp, age_ms, records, following, masking)
        return Stale(head, version, stamp, age_ms, records, following, masking and Masking.LATE)

    async def _filled(self, asked: PageAsked, page: ListPage, left_out: LeftOut) -> tuple[Records, int | None]:
        """What of this page is shown, and where the next one begins."""
        if left_out.nothing:
            return _whole(page, asked.limit)
        offset, records = page.offset, page.records
        filled = fill_page(records.item_ids(), offset, asked.limit, left_out, page.head.length)
        if filled.next_offset == MORE_NEEDED:
            rest = await self.store.page_of(asked.user_id, version_of(page.head), offset, MAX_ITEMS)
            # A list that was lost between the two reads: its page is short, and its cursor will be gone.
            records = records if rest is None else rest.records
            filled = fill_page(records.item_ids(), offset, asked.limit, left_out, offset + len(records))
            if rest is None:
                filled = filled.continued_at(offset + len(records))
        shown = records.first(filled.count) if filled.places is None else records.at(filled.places)
        return shown, filled.next_offset

    def _popular(
        self, asked: PageAsked, scene: str | None, offset: int, reason: Reason, masking: Masking | None = None
    ) -> Fallback:
        left_out = self._left_out(asked)
        items = self.fallback.popular(scene)
        rest = items[offset : offset + asked.limit] if left_out.nothing else items[offset:]
        filled = fill_page(rest, offset, asked.limit, left_out, len(items))
        shown = rest[: filled.count] if filled.places is None else tuple(rest[place] for place in filled.places)
        following = filled.next_offset
        cursor = None
        if following is not None:
            cursor = write_cursor(asked.user_id, FallbackCursor(scene, following, lists_mark(self.fallback.version)))
        return Fallback(shown, cursor, reason, left_out.stamp, masking)


def _whole(page: ListPage, limit: int) -> tuple[Records, int | None]:
    """A page of which nothing is left out, and where the next one begins."""
    following = page.offset + limit
    return page.records.first(limit), following if following < page.head.length else None


def _is_fresh(asked: PageAsked, head: ListHead, age_ms: int) -> bool:
    """A list made for the asked request does not age; one for another request is never fresh."""
    if asked.request_id is not None:
        return head.request_id == asked.request_id
    return age_ms <= asked.max_age_s * 1000
