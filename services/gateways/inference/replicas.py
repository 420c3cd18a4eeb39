"""Several engines as one: a user keeps to the replica that knows the user's prompts, while that one can be had.

Main of precompute builds it over the addresses in its settings.  Holds no request back and queues nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from contracts.errors import CatalogMismatch, DeadlineExceeded, EngineBusy, EngineDown, RankGRError
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.gateways.inference.rendezvous import replicas_of
from services.runtime.clock import Clock

log = logging.getLogger(__name__)

PROBE_EVERY_S = 0.5
# Longer than an engine that is well takes for most prompts; a question that its loop answers at once costs nothing.
SUSPECT_AFTER_S = 1.0


@dataclass(slots=True, eq=False)
class ReplicatedInferenceEngine:
    """Asks a user's own replica, and the next in the user's order where that one cannot take the request.

    Busy (429) or of another catalogue: passed over for this request alone.  Down: passed over by everybody
    until its /readyz answers again, asked every `probe_every_s`.  Decoding changes nothing, so a request whose
    replica died under it is asked of the next one; so is one whose replica is silent for `suspect_after_s` and
    then does not answer /readyz either, as a frozen process does.  `note` is told each call's replica and outcome.
    """

    replicas: Mapping[str, InferenceEngine]
    clock: Clock
    note: Callable[[str, str], None] = lambda _replica, _outcome: None
    probe_every_s: float = PROBE_EVERY_S
    suspect_after_s: float = SUSPECT_AFTER_S
    _down: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def down(self) -> frozenset[str]:
        """Replicas that are not asked now."""
        return frozenset(self._down)

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """See the port."""
        began_s = self.clock.monotonic_s()
        refusals: list[RankGRError] = []
        for name in self._order_of(request):
            asked = self._in_time_left(request, began_s)
            try:
                answer = await self._watched(name, asked)
            except (EngineBusy, CatalogMismatch, EngineDown) as refusal:
                self._passed_over(name, refusal)
                refusals.append(refusal)
            except RankGRError as error:
                self.note(name, type(error).__name__)
                raise
            else:
                self.note(name, "ok")
                return answer
        raise _worth_telling(refusals)

    async def ping(self) -> None:
        """See the port: one replica that can decode is enough."""
        asked = await asyncio.gather(*(replica.ping() for replica in self.replicas.values()), return_exceptions=True)
        for answer in asked:
            if isinstance(answer, BaseException) and not isinstance(answer, RankGRError):
                raise answer
        if all(isinstance(answer, RankGRError) for answer in asked):
            raise EngineDown(f"none of {len(asked)} engines can decode: {asked[0]}")

    async def close(self) -> None:
        """See the port."""
        probing = list(self._down.values())
        for task in probing:
            task.cancel()
        await asyncio.gather(*probing, return_exceptions=True)
        for replica in self.replicas.values():
            await replica.close()

    def _order_of(self, request: EngineRequest) -> tuple[str, ...]:
        """The user's replicas without those that are down; all of them where that leaves none."""
        order = replicas_of(request.user_id, self.replicas)
        return tuple(name for name in order if name not in self._down) or order

    def _in_time_left(self, request: EngineRequest, began_s: float) -> EngineRequest:
        if request.deadline_ms is None:
            return request
        left_ms = request.deadline_ms - round((self.clock.monotonic_s() - began_s) * 1000)
        if left_ms < 1:
            raise DeadlineExceeded(f"no engine answered within {request.deadline_ms} ms")
        return replace(request, deadline_ms=left_ms)

    async def _watched(self, name: str, request: EngineRequest) -> EngineAnswer:
        """The replica's answer.  EngineDown once it is silent and there is another one to ask."""
        calling = asyncio.ensure_future(self.replicas[name].recommend(request))
        try:
            while not (await asyncio.wait([calling], timeout=self.suspect_after_s))[0]:
                others = self.replicas.keys() - self._down.keys() - {name}
                if others and not await self._answers(name) and not calling.done():
                    raise EngineDown("the engine neither answers nor says that it is ready")
            return calling.result()
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    def _passed_over(self, name: str, refusal: RankGRError) -> None:
        self.note(name, type(refusal).__name__)
        if isinstance(refusal, EngineDown) and name not in self._down:
            log.warning("an engine is down", extra={"replica": name, "reason": str(refusal)})
            probing = asyncio.create_task(self._until_it_answers(name))
            # Whatever ends the asking: nobody asks any more, so the memory must not outlive it.
            probing.add_done_callback(lambda _ended: self._down.pop(name, None))
            self._down[name] = probing

    async def _until_it_answers(self, name: str) -> None:
        while True:
            if await self._answers(name):
                break
            await asyncio.sleep(self.probe_every_s)
        log.info("an engine is back", extra={"replica": name})

    async def _answers(self, name: str) -> bool:
        try:
            await self.replicas[name].ping()
        except EngineDown:
            return False
        return True


def _worth_telling(refusals: list[RankGRError]) -> RankGRError:
    """Why nobody took the request; what a later attempt may change comes first.

    A busy engine says when to come again: of several the earliest.
    """
    busy = [refusal for refusal in refusals if isinstance(refusal, EngineBusy)]
    if busy:
        return min(busy, key=lambda one: one.retry_after_s)
    return next((refusal for refusal in refusals if isinstance(refusal, EngineDown)), refusals[0])
