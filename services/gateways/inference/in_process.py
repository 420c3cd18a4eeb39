"""The inference engine in the same process, for services/local: precompute and engine share one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from contracts.errors import DeadlineExceeded
from services.gateways.inference.port import EngineAnswer, EngineRequest


async def _always_ready() -> None:
    """The default ping: what shares our process is up when we are."""


class InProcessInferenceEngine:
    """Calls the engine's own verb, and holds it to the caller's deadline."""

    def __init__(
        self,
        recommend: Callable[[EngineRequest], Awaitable[EngineAnswer]],
        ping: Callable[[], Awaitable[None]] = _always_ready,
    ) -> None:
        self._recommend = recommend
        self._ping = ping

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """See the port."""
        if request.deadline_ms is None:
            return await self._recommend(request)
        try:
            async with asyncio.timeout(request.deadline_ms / 1000):
                return await self._recommend(request)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the engine did not answer within {request.deadline_ms} ms") from error

    async def ping(self) -> None:
        """See the port."""
        await self._ping()

    async def close(self) -> None:
        """Nothing to free: the engine belongs to whoever built it."""
