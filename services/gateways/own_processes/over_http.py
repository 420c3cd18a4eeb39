"""Trigger, retrieval and the shared face of every process, over HTTP.  Main of the console builds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from contracts.errors import (
    BadRequest,
    Overloaded,
    RankGRError,
    Unavailable,
)
from contracts.ids import ItemId, RequestId, UserId
from contracts.messages import RecentInteraction
from services.gateways.own_processes.port import Accepted, Face, Happened, Page, Shown

CONNECT_S = 0.5
ANSWER_S = 2.0
FACE_S = 2.0
# Each takes a quarter of a second before it is refused: a disk that is slow to sync is enough for a 503.
TRIES = 4

Body = TypeVar("Body", bound=BaseModel)


class _TriggerBody(BaseModel):
    request_id: RequestId
    accepted_at: int


class _ItemBody(BaseModel):
    item_id: int
    score: float | None = None
    sid: tuple[int, ...] | None = None


class _PageBody(BaseModel):
    outcome: str
    request_id: RequestId | None = None
    model_version: str | None = None
    catalog_version: str | None = None
    generated_at: int | None = None
    items: tuple[_ItemBody, ...] = ()


class _ErrorBody(BaseModel):
    error: str = ""
    detail: str = ""


class _Described(BaseModel):
    class Info(BaseModel):
        version: str

    info: Info


class HttpOwnProcesses:
    """One client for all of them; `headers` show who asks."""

    def __init__(
        self, client: httpx.AsyncClient, trigger_url: str, retrieval_url: str, new_id: Callable[[], str]
    ) -> None:
        self._client = client
        self._new_id = new_id
        self._trigger_url = trigger_url
        self._retrieval_url = retrieval_url
        self._releases: dict[str, str] = {}

    @classmethod
    def connect(
        cls, trigger_url: str, retrieval_url: str, headers: Mapping[str, str], new_id: Callable[[], str]
    ) -> HttpOwnProcesses:
        """Connects on its first call.  new_id: makes the request id of a trigger."""
        client = httpx.AsyncClient(
            headers=dict(headers),
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # A proxy of the environment must not come between two of our own processes.
            trust_env=False,
        )
        return cls(client, trigger_url, retrieval_url, new_id)

    async def trigger(self, user: UserId, scene: str | None, recent: Sequence[RecentInteraction]) -> Accepted:
        """See the port."""
        body = {
            "user_id": user,
            # However often it has to be told: one request, hence one computation.
            "request_id": self._new_id(),
            "scene": scene,
            "recent": [one.model_dump(mode="json") for one in recent],
        }
        told = _read(_TriggerBody, "trigger", await self._told(f"{self._trigger_url}/trigger", body))
        return Accepted(told.request_id, told.accepted_at)

    async def tell(self, user: UserId, happened: Sequence[Happened]) -> None:
        """See the port."""
        events = [
            {
                "user_id": user,
                "item_id": one.item_id,
                "behavior": one.behavior.value,
                "timestamp": one.timestamp,
                "request_id": one.request_id,
                "position": one.position,
            }
            for one in happened
        ]
        await self._told(f"{self._trigger_url}/interactions", {"events": events})

    async def page(self, user: UserId, request: RequestId | None, scene: str | None, limit: int, wait_ms: int) -> Page:
        """See the port."""
        asked: dict[str, str | int] = {"limit": limit, "wait_ms": wait_ms}
        asked |= {"request_id": request} if request is not None else {}
        asked |= {"scene": scene} if scene is not None else {}
        url = f"{self._retrieval_url}/retrieve/{quote(user, safe='')}"
        timeout = httpx.Timeout(ANSWER_S + wait_ms / 1000, connect=CONNECT_S)
        try:
            answer = await self._client.get(url, params=asked, timeout=timeout)
        except httpx.HTTPError as error:
            raise _unreachable("retrieval", error) from error
        told = _read(_PageBody, "retrieval", answer)
        items = tuple(Shown(ItemId(one.item_id), one.score, one.sid) for one in told.items)
        return Page(told.outcome, told.request_id, told.model_version, told.catalog_version, told.generated_at, items)

    async def look(self, url: str) -> Face:
        """See the port."""
        ready, metrics, release = await asyncio.gather(
            self._asked(f"{url}/readyz"), self._asked(f"{url}/metrics"), self._release(url)
        )
        why = _why_not(ready)
        if isinstance(ready, Unavailable):
            # Another release may stand there when it is back.
            self._releases.pop(url, None)
        if isinstance(metrics, Unavailable) or metrics.status_code != httpx.codes.OK:
            return Face(why is None, why, release, None, _why_not(metrics))
        return Face(why is None, why, release, metrics.text)

    async def close(self) -> None:
        """Free the connections."""
        await self._client.aclose()

    async def _asked(self, url: str) -> httpx.Response | Unavailable:
        try:
            # httpx limits each read alone: whoever answers a byte at a time would hold up everybody's view.
            async with asyncio.timeout(FACE_S):
                return await self._client.get(url, timeout=httpx.Timeout(FACE_S, connect=CONNECT_S))
        except TimeoutError:
            return Unavailable("it did not answer in time")
        except httpx.HTTPError as error:
            return _unreachable("it", error)

    async def _release(self, url: str) -> str | None:
        """A process tells it with its description, which is long: asked once, and again after it was away."""
        if url not in self._releases:
            answer = await self._asked(f"{url}/openapi.json")
            if isinstance(answer, Unavailable):
                return None
            try:
                self._releases[url] = _Described.model_validate_json(answer.content).info.version
            except ValidationError:
                return None
        return self._releases[url]

    async def _told(self, url: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            for _ in range(TRIES):
                answer = await self._client.post(url, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
        except httpx.HTTPError as error:
            raise _unreachable("trigger", error) from error
        if answer.status_code != httpx.codes.ACCEPTED:
            raise _refusal("trigger", answer)
        return answer


def _unreachable(who: str, error: httpx.HTTPError) -> Unavailable:
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(f"{who} did not answer in time")
    return Unavailable(f"{who} cannot be reached: {type(error).__name__}")


def _why_not(answer: httpx.Response | Unavailable) -> str | None:
    if isinstance(answer, Unavailable):
        return str(answer)
    if answer.status_code == httpx.codes.OK:
        return None
    return _said(answer).detail or f"it answered {answer.status_code}"


def _said(answer: httpx.Response) -> _ErrorBody:
    try:
        return _ErrorBody.model_validate_json(answer.content)
    except ValidationError:
        return _ErrorBody()


def _refusal(who: str, answer: httpx.Response) -> RankGRError:
    detail = f"{who}: {_said(answer).detail or f'it answered {answer.status_code}'}"
    match answer.status_code:
        case 401 | 403:
            # Its own key, not the visitor's: nothing that the page could ask for would help.
            return Unavailable(f"{detail} (the console's own key is RANKGR_API_KEY)")
        case 429:
            return Overloaded(detail)
        case 422 | 413:
            return BadRequest(detail)
        case _:
            return Unavailable(detail)


def _read(kind: type[Body], who: str, answer: httpx.Response) -> Body:
    if answer.status_code not in (httpx.codes.OK, httpx.codes.ACCEPTED):
        raise _refusal(who, answer)
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise Unavailable(f"{who}: its answer is none of ours: is that address right?") from error
