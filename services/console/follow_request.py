"""The use case behind the timeline: what happens to one request, told as it happens.

Called by `api` after the trigger was accepted.  Looks on: the list is computed and stored by the others, and fetched as
a shop would fetch it, when the window is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial

from pydantic import ValidationError

from contracts.errors import RankGRError
from contracts.ids import RequestId, UserId
from contracts.messages import CandidatesComputed, Topic
from services.console.explain_list import Explained, ExplainList
from services.console.patience import patiently
from services.gateways.event_stream.port import EventStream
from services.gateways.own_processes.port import Page, RetrievalProcess
from services.runtime.clock import Clock

# A list comes within moments or late: looks are short and close at first, then fewer, and further back.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
LOOK_AT_FIRST, LOOK_AT = 20, 100
WITHIN_S = 10.0
WAIT_MS = 3000


@dataclass(frozen=True, slots=True)
class Followed:
    """Which request.  `accepted_at`: Unix ms, as the trigger's answer told it."""

    user_id: UserId
    request_id: RequestId
    accepted_at: int
    scene: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Computed:
    """The list is stored.  `stages_ms` as precompute published them."""

    stages_ms: dict[str, float]
    ready_ms: int
    items: int
    model_version: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The page view asked for its list `asked_ms` after the trigger, and had it `took_ms` later."""

    asked_ms: int
    took_ms: float
    page: Page


@dataclass(frozen=True, slots=True)
class NotSeen:
    """One part of the story that cannot be told, and why; the rest goes on."""

    part: str
    why: str


Told = Computed | Retrieved | Explained | NotSeen


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """Raises nothing: what cannot be told is told as NotSeen.  `window_ms`: when the page view asks for its list."""

    stream: EventStream
    retrieval: RetrievalProcess
    explain: ExplainList
    clock: Clock
    window_ms: int
    within_s: float = field(default=WITHIN_S)

    async def __call__(self, asked: Followed) -> AsyncGenerator[Told, None]:
        """What happens, each as soon as it is known; ends by itself."""
        waiting: set[asyncio.Task[Told]] = {
            asyncio.create_task(self._computed(asked)),
            asyncio.create_task(self._retrieved(asked)),
        }
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    told = one.result()
                    if isinstance(told, Retrieved) and told.page.outcome != "fallback":
                        waiting.add(asyncio.create_task(self._explained(asked)))
                    yield told
        finally:
            for left in waiting:
                left.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _computed(self, asked: Followed) -> Told:
        until_s = self.clock.monotonic_s() + self.within_s
        mark, pause_s, most = asked.request_id.encode(), FIRST_PAUSE_S, LOOK_AT_FIRST
        try:
            while self.clock.monotonic_s() < until_s:
                look = partial(self.stream.newest, Topic.CANDIDATES, most)
                for payload in reversed(await patiently(look)):
                    # Most are somebody else's, and long: only what may be ours is parsed.
                    if mark in payload and (event := _event_in(payload)) is not None and _is_of(event, asked):
                        ready_ms = max(0, event.generated_at - event.triggered_at)
                        return Computed(event.stages_ms, ready_ms, len(event.item_ids), event.model_version)
                await asyncio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)
                most = LOOK_AT if pause_s > 5 * FIRST_PAUSE_S else most
        except RankGRError as error:
            return NotSeen("computed", str(error))
        return NotSeen("computed", f"its list was not seen among the newest within {self.within_s:.0f} s")

    async def _retrieved(self, asked: Followed) -> Told:
        left_ms = asked.accepted_at + self.window_ms - self.clock.now_ms()
        # Two machines' clocks may disagree: nobody waits longer than the window.
        await asyncio.sleep(min(max(0, left_ms), self.window_ms) / 1000)
        asked_at, began_s = self.clock.now_ms(), self.clock.monotonic_s()
        try:
            page = await self.retrieval.page(asked.user_id, asked.request_id, asked.scene, asked.limit, WAIT_MS)
        except RankGRError as error:
            return NotSeen("retrieved", str(error))
        took_ms = (self.clock.monotonic_s() - began_s) * 1000
        return Retrieved(max(0, asked_at - asked.accepted_at), took_ms, page)

    async def _explained(self, asked: Followed) -> Told:
        try:
            return await self.explain(asked.user_id, asked.accepted_at, asked.scene, asked.limit)
        except RankGRError as error:
            return NotSeen("explained", str(error))


def _event_in(payload: bytes) -> CandidatesComputed | None:
    try:
        return CandidatesComputed.model_validate_json(payload)
    except ValidationError:
        return None


def _is_of(event: CandidatesComputed, asked: Followed) -> bool:
    return (event.request_id, event.user_id) == (asked.request_id, asked.user_id)
