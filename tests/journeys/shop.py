"""What a shop does with the stack: it triggers, retrieves and reports, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq

T0 = 1_763_769_600_000
LONGEST_WAIT_MS = 5000
# Each takes a quarter of a second before it is refused.
TRIES = 20


def items_of(bundle: Path) -> list[int]:
    """Every item that the bundle can recommend."""
    ids: list[int] = pq.read_table(bundle / "catalog.parquet", columns=["item_id"])["item_id"].to_pylist()
    return ids


@dataclass(frozen=True, slots=True)
class Shop:
    """Talks to trigger and retrieval."""

    client: httpx.AsyncClient
    urls: dict[str, str]

    async def trigger(self, user: str, request: str, recent: Sequence[int] = ()) -> None:
        """A page view begins; `recent` were clicked a second apart."""
        rows = [
            {"item_id": item, "behavior": "click", "timestamp": T0 + 1000 * place} for place, item in enumerate(recent)
        ]
        body = {"user_id": user, "request_id": request, "scene": "home", "recent": rows}
        answer = await self._post("/trigger", body)
        assert (answer.status_code, answer.json()["request_id"]) == (202, request), answer.text

    async def _post(self, path: str, body: object) -> httpx.Response:
        """As a shop would: told that the stream is busy (a slow disk is enough), it says the same thing again."""
        for _ in range(TRIES):
            answer = await self.client.post(f"{self.urls['trigger']}{path}", json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
        return answer

    async def retrieve(self, user: str, **query: str | int) -> dict[str, Any]:
        """A page of the user's list."""
        answer = await self.client.get(f"{self.urls['retrieval']}/retrieve/{user}", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def gets_fresh(self, user: str, request: str) -> bool:
        """Whether the list made for this request comes while we wait."""
        page = await self.retrieve(user, request_id=request, wait_ms=LONGEST_WAIT_MS)
        return (page["outcome"], page["request_id"]) == ("fresh", request)

    async def has_fresh(self, user: str) -> bool:
        """Whether the user has a young list, or gets one while we wait for what is under way."""
        page = await self.retrieve(user, wait_ms=LONGEST_WAIT_MS)
        return bool(page["outcome"] == "fresh")

    async def click(self, user: str, items: Sequence[int]) -> None:
        """Report clicks to `/interactions`."""
        events = [
            {"user_id": user, "item_id": item, "behavior": "click", "timestamp": T0 + 1000 * place}
            for place, item in enumerate(items)
        ]
        answer = await self._post("/interactions", {"events": events})
        assert (answer.status_code, answer.json()) == (202, {"accepted": len(items)})

    async def report(self, user: str, request: str, done: Sequence[tuple[int, str, int]]) -> None:
        """Report what happened on a page: item, behaviour, Unix milliseconds."""
        events = [
            {"user_id": user, "item_id": item, "behavior": behavior, "timestamp": at, "request_id": request}
            for item, behavior, at in done
        ]
        answer = await self._post("/interactions", {"events": events})
        assert (answer.status_code, answer.json()) == (202, {"accepted": len(done)})

    async def pages(self, user: str, limit: int) -> list[int]:
        """All items of the user's list, page by page."""
        page = await self.retrieve(user, limit=limit)
        items = [item["item_id"] for item in page["items"]]
        while page["next_cursor"] is not None:
            assert len(page["items"]) == limit
            page = await self.retrieve(user, limit=limit, cursor=page["next_cursor"])
            items += [item["item_id"] for item in page["items"]]
        return items

    async def is_ready(self, name: str) -> bool:
        """Whether a process can do its work."""
        try:
            return (await self.client.get(f"{self.urls[name]}/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
