"""The inference engine over HTTP: `POST /recommend` and `GET /readyz` of the engine process.

Main of precompute builds it.  Retries nothing: precompute's deliveries do that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.candidate_set import Candidate
from contracts.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    PromptTooLong,
    RankGRError,
    UnknownToken,
)
from contracts.ids import ItemId
from services.gateways.inference.port import EngineAnswer, EngineRequest

# For the way there and back, on top of the deadline that the engine itself keeps.
_WAY_S = 0.5
_REFUSALS: dict[str, type[RankGRError]] = {kind.__name__: kind for kind in (BadRequest, PromptTooLong, UnknownToken)}


class _Item(BaseModel):
    """One item of an answer; whatever else the engine says of it is not read."""

    item_id: int
    score: float
    sid: tuple[int, ...]


class _Answer(BaseModel):
    """Body of a 200."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    catalog_version: str
    items: list[_Item]
    timings_ms: dict[str, float] = Field(default_factory=dict)


class _Refusal(BaseModel):
    """Body of everything else."""

    error: str = ""
    detail: str = ""


class HttpInferenceEngine:
    """One engine, or one address behind which several stand."""

    def __init__(self, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        connect_s: float = 1.0,
        connections: int = 64,
    ) -> HttpInferenceEngine:
        """An engine at this base URL; `timeout_s` holds where a request has no deadline, `headers` show who asks."""
        client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=connect_s),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # A proxy of the environment must not come between two of our own processes.
            trust_env=False,
        )
        return cls(client, timeout_s=timeout_s)

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """See the port."""
        timeout_s = self._timeout_s
        if request.deadline_ms is not None:
            timeout_s = request.deadline_ms / 1000 + _WAY_S
        try:
            response = await self._client.post(
                "/recommend",
                content=_body(request),
                headers={"content-type": "application/json"},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, self._connect_s)),
            )
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if response.status_code != 200:
            raise _refusal(response)
        try:
            answer = _Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise EngineDown("the engine's answer is not one: is that address the engine's?") from error
        items = tuple(Candidate(ItemId(item.item_id), item.score, item.sid) for item in answer.items)
        return EngineAnswer(answer.model_version, answer.catalog_version, items, answer.timings_ms)

    async def ping(self) -> None:
        """See the port."""
        try:
            response = await self._client.get("/readyz", timeout=self._connect_s)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if response.status_code != 200:
            raise EngineDown(f"the engine is not ready: {_said(response).detail or response.status_code}")

    async def close(self) -> None:
        """See the port."""
        await self._client.aclose()

    @property
    def _connect_s(self) -> float:
        return self._client.timeout.connect or self._timeout_s


def _body(request: EngineRequest) -> bytes:
    asked: dict[str, object] = {"user_id": request.user_id, "tokens": request.tokens}
    wishes = {
        "beams": request.beams,
        "lambdas": request.lambdas,
        "exclude": request.exclude or None,
        "deadline_ms": request.deadline_ms,
        "max_items": request.max_items,
    }
    asked |= {name: value for name, value in wishes.items() if value is not None}
    return json.dumps(asked, separators=(",", ":")).encode()


def _unreachable(error: httpx.HTTPError) -> EngineDown:
    if isinstance(error, httpx.TimeoutException):
        return EngineDown("the engine did not answer in time")
    return EngineDown(f"the engine cannot be reached: {type(error).__name__}")


def _said(response: httpx.Response) -> _Refusal:
    try:
        return _Refusal.model_validate_json(response.content)
    except ValidationError:
        return _Refusal()


def _refusal(response: httpx.Response) -> RankGRError:
    said = _said(response)
    match response.status_code, said.error:
        case 429, _:
            return _again(EngineBusy, said.detail or "the engine's queue is full")
        case 503, "DeadlineExceeded":
            return DeadlineExceeded(said.detail)
        case 422, name:
            return _again(_REFUSALS.get(name, BadRequest), said.detail or "the engine refused the request")
        case 413, _:
            return BadRequest(said.detail or "the request is too large for the engine")
        case 500, "EngineFailed":
            return EngineFailed(said.detail)
        case status, _:
            return EngineDown(f"the engine answered {status}: {said.detail or 'it did not say why'}")


def _again(kind: type[RankGRError], detail: str) -> RankGRError:
    """The error that the engine raised, with its own sentence: some kinds build theirs from numbers."""
    error = kind.__new__(kind, detail)
    Exception.__init__(error, detail)
    return error
