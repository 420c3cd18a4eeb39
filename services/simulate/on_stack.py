"""An arm on real processes: requests by HTTP, samples and weights by the streams and the store, in real time.

Event time is the wall clock.  A period's requests are spread over some seconds; where models are published, the next
period waits until the weights that have seen this one serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from contracts.candidate_set import MAX_WAIT_MS
from contracts.errors import Unavailable
from model.data.changing_market import ChangingMarket, PeriodRequests
from services.runtime.clock import Clock
from services.simulate.arm import Past, Served

AT_ONCE = 8
TRIES = 20


@dataclass(slots=True)
class StackArm:
    """`urls` as `run_stack` tells them.  `spread_s`: the time that the requests of a period take, at least.

    updated: returns when the weights that have seen all until this moment (Unix ms) serve, or will not come.
    """

    urls: dict[str, str]
    key_header: dict[str, str]
    past: Past
    page: int
    spread_s: float
    clock: Clock
    updated: Callable[[int], Awaitable[None]] | None = None
    _known: set[str] = field(default_factory=set, init=False)

    async def play(self, market: ChangingMarket, requests: PeriodRequests) -> Sequence[Served]:
        """Each request: trigger, the list that was computed for it, what the shopper did with it."""
        room, began_s = asyncio.Semaphore(AT_ONCE), self.clock.monotonic_s()
        limits = httpx.Limits(max_connections=2 * AT_ONCE)
        async with httpx.AsyncClient(timeout=15.0, headers=self.key_header, limits=limits) as client:

            async def visit(number: int) -> Served:
                at_s = began_s + number * self.spread_s / len(requests)
                await asyncio.sleep(max(0.0, at_s - self.clock.monotonic_s()))
                async with room:
                    return await self._visit(client, market, requests, number)

            try:
                async with asyncio.TaskGroup() as visits:
                    tasks = [visits.create_task(visit(number)) for number in range(len(requests))]
            except* (httpx.HTTPError, Unavailable) as group:
                error = group.exceptions[0]
                raise Unavailable(f"the stack does not answer: {error or type(error).__name__}") from error
        return [task.result() for task in tasks]

    async def end_period(self) -> None:
        """Where models are published: until the weights that have seen this period serve."""
        if self.updated is not None:
            await self.updated(self.clock.now_ms())

    async def _visit(
        self, client: httpx.AsyncClient, market: ChangingMarket, requests: PeriodRequests, number: int
    ) -> Served:
        user, request_id = requests.user(number), f"p{requests.period}-{number}"
        scene = requests.scene(number)
        recent = () if user in self._known else self.past.get(user, ())
        body = {
            "user_id": user,
            "request_id": request_id,
            "scene": scene,
            "context": {"device": requests.device(number)},
            "recent": [one.model_dump(mode="json") for one in recent],
        }
        await self._told(client, f"{self.urls['trigger']}/trigger", body)
        self._known.add(user)
        question = {"request_id": request_id, "limit": str(self.page), "wait_ms": str(MAX_WAIT_MS)}
        where = f"{self.urls['retrieval']}/retrieve/{quote(user, safe='')}"
        content = (await self._answered(client, client.build_request("GET", where, params=question))).json()
        shown = tuple(int(item["item_id"]) for item in content["items"])
        now_ms = self.clock.now_ms()
        events = [
            {
                "user_id": user,
                "item_id": deed.item_id,
                "behavior": deed.behavior.value,
                # Clicks after what was shown, in the order in which they happened.
                "timestamp": now_ms + place,
                "request_id": request_id,
                "scene": scene,
                **({} if deed.position is None else {"position": deed.position}),
            }
            for place, deed in enumerate(market.deeds(requests, number, shown))
        ]
        if events:
            await self._told(client, f"{self.urls['trigger']}/interactions", {"events": events})
        return Served(shown, str(content["model_version"]), content["outcome"] == "fresh")

    async def _told(self, client: httpx.AsyncClient, url: str, body: object) -> None:
        """Said until the stream has it, as a shop would; what is said twice counts once."""
        await self._answered(client, client.build_request("POST", url, json=body))

    async def _answered(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """A connection that its server closes while we begin to use it again was no answer: asked anew."""
        for _ in range(TRIES - 1):
            try:
                answer = await client.send(request)
            except httpx.RemoteProtocolError:
                continue
            if answer.status_code not in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
                return answer.raise_for_status()
        return (await client.send(request)).raise_for_status()
