"""The inference engine over HTTP, in packed bytes: `POST /recommend` and `GET /readyz` of one engine process.

Main of precompute builds one per replica.  Retries nothing: `replicas` asks others, precompute's deliveries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote

import httpx
from pydantic import BaseModel, ValidationError

from contracts.errors import (
    BadRequest,
    CatalogMismatch,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    EngineFailed,
    NothingToRecommend,
    PromptTooLong,
    RankGRError,
    UnknownToken,
)
from services.gateways.inference.packed import (
    PROMPT_TYPE,
    RECOMMENDATION_TYPE,
    pack_prompt,
    read_answer,
    read_explanation,
)
from services.gateways.inference.port import CATALOG_HEADER, EngineAnswer, EngineRequest, Explanation
from services.runtime.tracing import HEADER, traceparent

# For the way there and back, on top of the deadline that the engine itself keeps.
_WAY_S = 0.5
_REFUSALS: dict[str, type[RankGRError]] = {
    kind.__name__: kind for kind in (BadRequest, PromptTooLong, UnknownToken, NothingToRecommend)
}
Refused = TypeVar("Refused", bound=RankGRError)
Answered = TypeVar("Answered", EngineAnswer, Explanation)
_HEADERS = {"content-type": PROMPT_TYPE, "accept": RECOMMENDATION_TYPE}


class _Refusal(BaseModel):
    """Body of everything but an answer."""

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
        kept_connections: int = 64,
    ) -> HttpInferenceEngine:
        """An engine at this base URL; `timeout_s` holds where a request has no deadline, `headers` show who asks."""
        client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=connect_s),
            # Unbounded: a request that waits here for a connection would look like an engine that does not answer;
            # the engine's own queue is bounded.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=kept_connections),
            # A proxy of the environment must not come between two of our own processes.
            trust_env=False,
        )
        return cls(client, timeout_s=timeout_s)

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """See the port."""
        return _read(await self._ask(request, level_scores=False), read_answer)

    async def explain(self, request: EngineRequest) -> Explanation:
        """See ExplainingEngine."""
        return _read(await self._ask(request, level_scores=True), read_explanation)

    async def _ask(self, request: EngineRequest, *, level_scores: bool) -> bytes:
        timeout_s = self._timeout_s
        if request.deadline_ms is not None:
            timeout_s = request.deadline_ms / 1000 + _WAY_S
        try:
            response = await self._client.post(
                "/recommend",
                content=pack_prompt(request, level_scores=level_scores),
                headers=_HEADERS if (here := traceparent()) is None else {**_HEADERS, HEADER: here},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, self._connect_s)),
            )
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if response.status_code != 200:
            raise _refusal(response)
        return response.content

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


def _read(content: bytes, read: Callable[[bytes], Answered]) -> Answered:
    try:
        return read(content)
    except ValueError as error:
        raise EngineDown("the engine's answer is not one: is that address the engine's?") from error


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
            return _busy(response, said.detail or "the engine's queue is full")
        case 503, "DeadlineExceeded":
            return DeadlineExceeded(said.detail)
        case 422, "CatalogMismatch":
            mismatch = _again(CatalogMismatch, said.detail)
            mismatch.served = unquote(response.headers.get(CATALOG_HEADER, "")) or None
            return mismatch
        case 422, name:
            return _again(_REFUSALS.get(name, BadRequest), said.detail or "the engine refused the request")
        case 413, _:
            return BadRequest(said.detail or "the request is too large for the engine")
        case 500, "EngineFailed":
            return EngineFailed(said.detail)
        case status, _:
            return EngineDown(f"the engine answered {status}: {said.detail or 'it did not say why'}")


def _busy(response: httpx.Response, detail: str) -> EngineBusy:
    busy = _again(EngineBusy, detail)
    busy.waiting = 0  # Its sentence knows it, and nobody counts with it here.
    told = response.headers.get("retry-after", "")
    if told.isdigit():
        busy.retry_after_s = float(told)
    return busy


def _again(kind: type[Refused], detail: str) -> Refused:
    """The error that the engine raised, with its own sentence: some kinds build theirs from numbers."""
    error = kind.__new__(kind, detail)
    Exception.__init__(error, detail)
    return error
