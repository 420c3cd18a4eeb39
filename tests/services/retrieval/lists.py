"""Lists and a store that is down, for the tests of retrieval."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.candidate_set import Candidate, CandidateSet
from contracts.errors import StoreDown
from contracts.ids import ItemId, RequestId, UserId
from services.gateways.candidate_store.port import ListHead, ListPage


def made_list(
    user: str = "u",
    *,
    request: str = "r-1",
    triggered_at: int,
    generated_at: int,
    items: range = range(100, 110),
) -> CandidateSet:
    return CandidateSet(
        user_id=UserId(user),
        request_id=RequestId(request),
        triggered_at=triggered_at,
        generated_at=generated_at,
        model_version="m1",
        catalog_version="c1",
        items=tuple(Candidate(ItemId(item), -item / 128, (item, 3)) for item in items),
    )


@dataclass
class DownStore:
    """A store whose server is gone; `asked` holds the users that were asked for."""

    asked: list[str] = field(default_factory=list)

    async def put(self, candidates: CandidateSet) -> bool:
        raise StoreDown(f"no store for {candidates.user_id}")

    async def head(self, user: UserId) -> ListHead | None:
        raise StoreDown(f"no store for {user}")

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        self.asked.append(user)
        raise StoreDown(f"no store for {user} {offset} {limit}")

    async def previous_page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        self.asked.append(user)
        raise StoreDown(f"no store for {user} {offset} {limit}")

    async def page_of(self, user: UserId, version: str, offset: int, limit: int) -> ListPage | None:
        self.asked.append(user)
        raise StoreDown(f"no store for {user} {version} {offset} {limit}")

    async def ping(self) -> None:
        raise StoreDown("no store")

    async def close(self) -> None:
        """Nothing to free."""
