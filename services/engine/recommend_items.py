"""The use case behind `POST /recommend`: one user's prompt in, the best items out.

Called by `api`, and by precompute itself where both live in one process.  The host decides how it is decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from contracts.candidate_set import MAX_ITEMS
from contracts.errors import (
    BadRequest,
    CatalogMismatch,
    DeadlineExceeded,
    EngineBusy,
    EngineDown,
    NothingToRecommend,
    RankGRError,
    UnknownToken,
)
from contracts.ids import INT64_MAX, INT64_MIN
from model.decoding.request import DecodeRequest
from model.semantic_id.item_filter import ItemFilter
from services.engine.decoding_host import Decoded, DecodingHost
from services.engine.pace import Pace
from services.engine.recommendation import Abandoned, EngineOutcome, Recommendation
from services.engine.serving import Model, Serving
from services.gateways.inference.port import EngineAnswer, EngineRequest


@dataclass(slots=True)
class RecommendItems:
    """Decode a prompt among the others that wait.

    Raises EngineDown, EngineBusy, DeadlineExceeded; for this request alone BadRequest, PromptTooLong,
    UnknownToken, CatalogMismatch, NothingToRecommend, EngineFailed.
    `note` is told what came of each prompt, and of which model version.
    `lost` is called once, when the host turns out to have stopped taking prompts by itself.
    `serving` may be replaced at any moment; who is inside keeps the one of his arrival.
    """

    serving: Serving
    pace: Pace
    default_deadline_ms: int
    note: Callable[[EngineOutcome, str], None]
    lost: Callable[[], None] = lambda: None
    warm: bool = False
    is_lost: bool = False

    async def __call__(self, request: EngineRequest, spent_s: float = 0.0) -> Recommendation:
        """The best items for this prompt, at most MAX_ITEMS where `max_items` says nothing.

        `spent_s` of its deadline are over: what reading the request took.
        """
        serving = self.serving
        try:
            with serving.visit():
                found = await self._recommend(serving, request, spent_s)
        except asyncio.CancelledError:
            self.note(Abandoned(), serving.model.model_version)
            raise
        except RankGRError as error:
            self.note(error, serving.model.model_version)
            raise
        self.note(found, serving.model.model_version)
        return found

    async def answer(self, request: EngineRequest) -> EngineAnswer:
        """The same as a caller in this process wants it."""
        return (await self(request)).answer()

    async def _recommend(self, serving: Serving, request: EngineRequest, spent_s: float) -> Recommendation:
        host, model = serving.host, serving.model
        asked = _asked(model, request)
        left_ms = self._deadline_ms(request) - round(spent_s * 1000)
        if left_ms < 1:
            raise DeadlineExceeded("its deadline passed while it was being read")
        self._refuse_the_hopeless(host, left_ms)
        try:
            decoded = await self._decoded(host, asked, left_ms)
        except EngineBusy as busy:
            raise EngineBusy(busy.waiting, self.pace.seconds_for(busy.waiting)) from busy
        except EngineDown:
            self._look_after_host()
            raise
        result = decoded.result
        if not len(result.item_id):
            raise NothingToRecommend("exclusions and filter leave no item, or the catalogue has none")
        return Recommendation(
            model_version=model.model_version,
            catalog_version=model.catalog_version,
            result=result,
            timings_ms={"queue": decoded.queue_ms} | result.timings_ms,
            counts=result.counts,
        )

    async def _decoded(self, host: DecodingHost, asked: DecodeRequest, deadline_ms: int) -> Decoded:
        with self.pace.visit() as visit:
            decoded = await host.decode(asked, deadline_ms)
            visit.answered = True
        return decoded

    async def start(self) -> None:
        """Begin to work and decode the warm-up prompts, so that nobody's first request pays for it.

        Raises what the model says of them.
        """
        await self.serving.start()
        self.warm = True

    async def stop(self) -> None:
        """End; whoever still waits is told EngineDown."""
        self.warm = False
        await self.serving.host.stop()

    async def ready(self) -> None:
        """Raise EngineDown unless a prompt can be decoded now."""
        if not self.warm:
            raise EngineDown("the engine is not warm yet")
        if not self.serving.host.running:
            self._look_after_host()
            raise EngineDown("the model cannot decode now")

    def _refuse_the_hopeless(self, host: DecodingHost, left_ms: int) -> None:
        """Raise EngineBusy where the queue is longer than the deadline.

        Decoded as its time runs out, a prompt takes the place of one that could have been in time: under a lasting
        overload nobody would be.  Where nobody waits, the estimate may be wrong and the prompt is tried.
        """
        needed_s = self.pace.seconds_for(self.pace.inside + 1)
        if host.waiting and needed_s * 1000 > left_ms:
            raise EngineBusy(host.waiting, needed_s - left_ms / 1000)

    def _look_after_host(self) -> None:
        if self.warm and not self.serving.host.running and not self.is_lost:
            self.is_lost = True
            self.lost()

    def _deadline_ms(self, request: EngineRequest) -> int:
        return self.default_deadline_ms if request.deadline_ms is None else request.deadline_ms


def _asked(model: Model, request: EngineRequest) -> DecodeRequest:
    for token in request.tokens:
        # What is no int64 cannot even be put into the array that the host checks.
        if not INT64_MIN <= token <= INT64_MAX:
            raise UnknownToken(token, model.vocab_size)
    return DecodeRequest(
        tokens=np.array(request.tokens, dtype=np.int64),
        beams=request.beams,
        lambdas=request.lambdas,
        exclude=frozenset(request.exclude),
        max_items=MAX_ITEMS if request.max_items is None else request.max_items,
        lambda_scope=request.lambda_scope,
        iap_mix=request.iap_mix,
        item_filter=_filter(model, request),
        user=request.user_id,
    )


def _filter(model: Model, request: EngineRequest) -> ItemFilter | None:
    """The request's filter, if it was made for the catalogue that is served."""
    served = model.catalog_version
    if request.catalog_version is not None and request.catalog_version != served:
        raise CatalogMismatch(request.catalog_version, served)
    if request.item_filter is None:
        return None
    if request.catalog_version is None:
        raise BadRequest("catalog_version: a filter needs the version of the catalogue that it was made for")
    return ItemFilter(request.item_filter)
