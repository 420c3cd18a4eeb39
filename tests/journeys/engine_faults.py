"""Requests that an engine must refuse, fail or lose, each with the answer it deserves, and the good ones among them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import httpx

from contracts.ids import UserId
from model.semantic_id.item_filter import ItemFilter
from services.gateways.inference.packed import PROMPT_TYPE, RECOMMENDATION_TYPE, pack_prompt, read_answer
from services.gateways.inference.port import EngineRequest

from .engines import Prompts

PACKED = {"content-type": PROMPT_TYPE, "accept": RECOMMENDATION_TYPE}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Refusals:
    """Asks one engine over HTTP; every call returns what came of it: `ok`, or the error's name."""

    client: httpx.AsyncClient
    prompts: Prompts

    def kinds(self) -> Mapping[str, Callable[[int], Awaitable[str]]]:
        """Kind of request -> how to make the one of a number.  What it must come to: see `expected`."""
        return {
            "good": self.good,
            "good_json": self.good_json,
            "too_long": lambda number: self._packed(self._with(number, tokens=self.prompts.tokens(number, 12) * 20)),
            "unknown_token": lambda number: self._packed(self._with(number, tokens=(1, 10**6))),
            "width_0": lambda number: self._packed(self._with(number, beams=(0, 5))),
            "wrong_levels": lambda number: self._packed(self._with(number, lambdas=(5,))),
            "all_filtered": lambda number: self._packed(self._filtering_all(number)),
            "foreign_filter": lambda number: self._packed(self._foreign_filter(number)),
            "other_catalogue": lambda number: self._packed(self._with(number, catalog_version="another")),
            "not_finite": lambda number: self._packed(self._with_special(number, "hour:1")),
            "breaks": lambda number: self._packed(self._with_special(number, "hour:2")),
            "too_late": lambda number: self._packed(self._with(number, deadline_ms=1)),
            "damaged": self._damaged,
            "no_json": lambda number: self._sent(b'{"user_id": ' * (number % 5), JSON),
            "leaves": self._leaves,
        }

    async def good(self, number: int) -> str:
        """A prompt of one of a hundred users, of one of several lengths; clamped widths now and then."""
        items = 1 + number % 25
        request = EngineRequest(UserId(f"user-{number % 100}"), self.prompts.tokens(number % 100, items))
        if number % 3 == 0:
            request = replace(request, beams=(10**6, 10**6), lambdas=(10**6, 10**6))
        response = await self.client.post(
            "/recommend", content=pack_prompt(request, level_scores=False), headers=PACKED
        )
        if response.status_code != 200:
            return _error(response)
        return "ok" if read_answer(response.content).items else "empty"

    async def good_json(self, number: int) -> str:
        """The same in JSON."""
        body = {"user_id": f"user-{number % 100}", "tokens": self.prompts.tokens(number % 100, 5), "exclude": [1, 2]}
        response = await self.client.post("/recommend", json=body)
        return "ok" if response.status_code == 200 and response.json()["items"] else _error(response)

    def _with(self, number: int, **changes: object) -> EngineRequest:
        return replace(self.prompts.request(number % 100), **changes)  # type: ignore[arg-type]

    def _with_special(self, number: int, name: str) -> EngineRequest:
        tokens = self.prompts.tokens(number % 100)
        return self._with(
            number, tokens=(*tokens[:4], self.prompts.side.prompt_format.special_tokens[name], *tokens[4:])
        )

    def _filtering_all(self, number: int) -> EngineRequest:
        items = len(self.prompts.side.catalog)
        bitmap = ItemFilter.of_rows(range(items), items).bitmap
        return self._with(number, item_filter=bitmap, catalog_version=self.prompts.side.manifest.catalog_version)

    def _foreign_filter(self, number: int) -> EngineRequest:
        version = self.prompts.side.manifest.catalog_version
        return self._with(number, item_filter=b"\x01", catalog_version=version)

    async def _damaged(self, number: int) -> str:
        data = pack_prompt(self.prompts.request(number % 100), level_scores=False)
        return await self._sent(data[: number % len(data)], PACKED)

    async def _leaves(self, number: int) -> str:
        """Closes its connection after a moment, answered or not."""
        asking = asyncio.ensure_future(self.good(number))
        await asyncio.wait([asking], timeout=0.001 * (number % 8))
        asking.cancel()
        await asyncio.wait([asking])
        return "gone"

    async def _packed(self, request: EngineRequest) -> str:
        return await self._sent(pack_prompt(request, level_scores=False), PACKED)

    async def _sent(self, data: bytes, headers: Mapping[str, str]) -> str:
        response = await self.client.post("/recommend", content=data, headers=headers)
        return "ok" if response.status_code == 200 else _error(response)


EXPECTED: Mapping[str, frozenset[str]] = {
    "good": frozenset({"ok"}),
    "good_json": frozenset({"ok"}),
    "too_long": frozenset({"PromptTooLong"}),
    "unknown_token": frozenset({"UnknownToken"}),
    "width_0": frozenset({"BadRequest"}),
    "wrong_levels": frozenset({"BadRequest"}),
    "all_filtered": frozenset({"NothingToRecommend"}),
    "foreign_filter": frozenset({"BadRequest"}),
    "other_catalogue": frozenset({"CatalogMismatch"}),
    "not_finite": frozenset({"EngineFailed"}),
    "breaks": frozenset({"EngineFailed"}),
    # On a quick machine a millisecond may do; where others wait it is known not to.
    "too_late": frozenset({"DeadlineExceeded", "EngineBusy", "ok"}),
    "damaged": frozenset({"BadRequest"}),
    "no_json": frozenset({"BadRequest"}),
    "leaves": frozenset({"gone"}),
}
"""What each kind may come to, where the queue has room."""


def _error(response: httpx.Response) -> str:
    body = json.loads(response.content)
    assert set(body) == {"error", "detail"}, body
    assert "Traceback" not in body["detail"]
    return str(body["error"])
