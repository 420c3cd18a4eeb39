"""vLLM behind the engine's port: bounded, with deadlines, and typed errors when a request or the worker fails.

`main` builds it; the first import of vLLM happens in `start`, so that nobody else pays for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from contracts.errors import BadRequest, DeadlineExceeded, EngineBusy, EngineDown, EngineFailed
from model.decoding.request import DecodeRequest, DecodeResult, plan_of
from services.engine.decoding_host import Decoded
from services.engine.vllm_host.options import VllmOptions
from services.runtime.clock import Clock

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

# vLLM's process frees its cache and ends by itself; after that it is killed.
STOP_S = 10.0

log = logging.getLogger(__name__)


class Search(Protocol):
    """One way to search inside vLLM."""

    def arguments(self, options: VllmOptions) -> dict[str, Any]:
        """Keyword arguments for vLLM's EngineArgs."""
        ...

    def environment(self, options: VllmOptions) -> dict[str, str]:
        """Variables that vLLM's processes read."""
        ...

    async def __call__(self, engine: AsyncLLM, request: DecodeRequest, name: str) -> DecodeResult:
        """One request under a name of its own; raises vLLM's errors and our own."""
        ...


@dataclass(slots=True, eq=False)
class VllmHost:
    """See `DecodingHost`; lives in one event loop.  A lost worker is not replaced: `running` says so.

    `observe_batch` is told how many users a step of vLLM's searched for.
    """

    options: VllmOptions
    search: Search
    clock: Clock
    observe_batch: Callable[[int], None]
    _engine: AsyncLLM | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: int = 0
    _progress_s: float = 0.0
    _names: count[int] = field(default_factory=count)

    @property
    def waiting(self) -> int:
        """How many more requests there are than vLLM takes into one step."""
        return max(0, self._in_flight - self.options.most)

    @property
    def running(self) -> bool:
        """Whether vLLM's core is there and answers."""
        if self._engine is None or self._engine.errored:
            return False
        return not self._in_flight or self.clock.monotonic_s() - self._progress_s < self.options.stalled_after_s

    async def start(self) -> None:
        """Start vLLM's processes and wait until the model is loaded.  Raises EngineDown."""
        # vLLM's settings are environment variables, for this process as for those that it starts.
        os.environ.update(self.search.environment(self.options))
        self._ended.clear()
        try:
            self._engine = await asyncio.to_thread(_engine_of, self.search.arguments(self.options))
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineDown(f"vLLM did not start: {str(error).splitlines()[0]}; its log says why") from error

    async def stop(self) -> None:
        """End vLLM's processes; whoever still waits is told EngineDown."""
        engine, self._engine = self._engine, None
        self._ended.set()
        if engine is None:
            return
        if engine.output_handler is not None:
            # It would take the end of the process that it reads from for an accident.
            engine.output_handler.cancel()
            await asyncio.wait([engine.output_handler])
        await asyncio.to_thread(engine.shutdown, STOP_S)
        # vLLM closes its sockets but leaves their context open, and shuts down once more when the interpreter ends
        # and half of what that takes is gone.
        engine.engine_core.resources.ctx.destroy(linger=0)
        engine.shutdown = _nothing_more

    async def decode(self, request: DecodeRequest, deadline_ms: int) -> Decoded:
        """See the port."""
        engine = self._engine
        if engine is None or not self.running:
            raise EngineDown("vLLM is not running")
        if self.waiting >= self.options.waiting:
            raise EngineBusy(self.waiting)
        # Refused here, in our words, before vLLM refuses it in its own.
        plan_of(request, self.options.config)
        started_s = self.clock.monotonic_s()
        async with self._counted():
            try:
                async with asyncio.timeout(deadline_ms / 1000):
                    result = await self._unless_ended(engine, request)
            except TimeoutError as error:
                raise DeadlineExceeded(f"no answer within {deadline_ms} ms") from error
        self._progress_s = self.clock.monotonic_s()
        if batch := result.counts.pop("batch", 0):
            self.observe_batch(batch)
        took_ms = (self.clock.monotonic_s() - started_s) * 1000
        # All that was neither reading the prompt's last part nor searching: waiting, and the way there and back.
        return Decoded(result, max(0.0, took_ms - sum(result.timings_ms.values())))

    async def _unless_ended(self, engine: AsyncLLM, request: DecodeRequest) -> DecodeResult:
        searching = asyncio.ensure_future(self._searched(engine, request))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([searching, ended], return_when=asyncio.FIRST_COMPLETED)
            if not searching.done():
                raise EngineDown("the engine is stopping")
            return searching.result()
        finally:
            # A search that is cancelled tells vLLM to drop the request.
            for task in (searching, ended):
                task.cancel()
            await asyncio.wait([searching, ended])

    async def _searched(self, engine: AsyncLLM, request: DecodeRequest) -> DecodeResult:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            return await self.search(engine, request, f"rankgr-{next(self._names)}")
        except EngineDeadError as error:
            raise EngineDown("vLLM's worker has ended") from error
        except EngineGenerateError as error:
            log.exception("vLLM failed on a request")
            raise EngineFailed("decoding failed on this request; the engine's log says why") from error
        except VLLMClientError as error:
            raise BadRequest(str(error)) from error

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        if not self._in_flight:
            self._progress_s = self.clock.monotonic_s()
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1


def _nothing_more(_timeout: float | None = None) -> None:
    """What is left to shut down."""


def _engine_of(arguments: dict[str, Any]) -> AsyncLLM:
    """Imports vLLM and starts its processes, which takes many seconds: not for the event loop's thread."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
