"""The candidate store in this process: for tests, and the plain statement of what the one in Redis does."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.candidate_set import CandidateSet
from contracts.ids import UserId
from services.gateways.candidate_store.packed import pack, read_header, read_page
from services.gateways.candidate_store.port import ListHead, ListPage, version_of
from services.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class _Stored:
    """One packed set, and when it is gone (Unix ms)."""

    data: bytes
    head: ListHead
    gone_at: int


class MemoryCandidateStore:
    """Keeps packed sets in two dictionaries, newest and previous."""

    def __init__(self, clock: Clock, *, ttl_s: float = 86_400.0, previous_ttl_s: float = 120.0) -> None:
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)
        self._previous_ttl_ms = round(previous_ttl_s * 1000)
        self._newest: dict[UserId, _Stored] = {}
        self._previous: dict[UserId, _Stored] = {}

    async def put(self, candidates: CandidateSet) -> bool:
        """See the port."""
        now = self._clock.now_ms()
        data = pack(candidates)
        header = read_header(data)
        assert header is not None, "what pack wrote has a header"
        there = self._living(self._newest, candidates.user_id)
        if there is not None:
            if there.head.triggered_at > candidates.triggered_at:
                return False
            if version_of(there.head) != version_of(header.head):
                gone_at = min(there.gone_at, now + self._previous_ttl_ms)
                self._previous[candidates.user_id] = _Stored(there.data, there.head, gone_at)
        self._newest[candidates.user_id] = _Stored(data, header.head, now + self._ttl_ms)
        return True

    async def head(self, user: UserId) -> ListHead | None:
        """See the port."""
        there = self._living(self._newest, user)
        return there.head if there else None

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        there = self._living(self._newest, user)
        return read_page(there.data, offset, limit) if there else None

    async def previous_page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        there = self._living(self._previous, user)
        return read_page(there.data, offset, limit) if there else None

    async def page_of(self, user: UserId, version: str, offset: int, limit: int) -> ListPage | None:
        """See the port."""
        for shelf in (self._newest, self._previous):
            there = self._living(shelf, user)
            if there and version_of(there.head) == version:
                return read_page(there.data, offset, limit)
        return None

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""

    def _living(self, shelf: dict[UserId, _Stored], user: UserId) -> _Stored | None:
        there = shelf.get(user)
        if there is not None and there.gone_at <= self._clock.now_ms():
            del shelf[user]
            return None
        return there
