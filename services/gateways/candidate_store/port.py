"""The candidate store: precompute puts whole sets, retrieval reads pages of them."""

from __future__ import annotations

from typing import Protocol

import msgspec

from contracts.candidate_set import Candidate, CandidateSet
from contracts.ids import RequestId, UserId
from services.gateways.candidate_store.records import Records


class ListHead(msgspec.Struct, frozen=True, gc=False):
    """What a stored list says of itself, without its items.  Times are Unix milliseconds."""

    request_id: RequestId
    triggered_at: int
    generated_at: int
    model_version: str
    catalog_version: str
    length: int


class ListPage(msgspec.Struct, frozen=True, gc=False):
    """Items `offset` to `offset + len(records)` of one stored list."""

    head: ListHead
    offset: int
    records: Records

    @property
    def items(self) -> tuple[Candidate, ...]:
        """The records as objects."""
        return self.records.candidates()


class CandidateStore(Protocol):
    """The newest candidate set of each user, and for a short time the one before it.

    A put replaces the whole set at once: a reader sees the old one or the new one.  A set whose
    `triggered_at` is older than the stored one's never replaces it.  The replaced set stays readable by its
    version for `previous_ttl_s`.  Sets expire after `ttl_s`.  Every call raises StoreDown, and nothing else.
    """

    async def put(self, candidates: CandidateSet) -> bool:
        """Store it; False when a set for a newer trigger is there already (then nothing changed)."""
        ...

    async def head(self, user: UserId) -> ListHead | None:
        """The newest list's head, or None when there is no list."""
        ...

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """A page of the newest list, or None when there is no list."""
        ...

    async def previous_page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        """A page of the list before the newest, or None when it is gone."""
        ...

    async def page_of(self, user: UserId, version: str, offset: int, limit: int) -> ListPage | None:
        """A page of the list of this version (see `version_of`), newest or previous; None if it is gone."""
        ...

    async def ping(self) -> None:
        """Raise StoreDown when the store cannot be used now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


def version_of(head: ListHead) -> str:
    """A list's version among its user's lists: its trigger's time and when it was generated."""
    return f"{head.triggered_at:x}-{head.generated_at:x}"
