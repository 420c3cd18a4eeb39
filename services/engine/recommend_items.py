"""The use case behind `POST /recommend`: one user's prompt in, the best items out.

Called by `api`, and by precompute itself where both live in one process.  The host decides how it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from contracts.candidate_set import MAX_ITEMS, Candidate
from contracts.errors import EngineDown, RankGRError, UnknownToken
from contracts.ids import INT64_MAX, INT64_MIN, ItemId, UserId
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.decoding_host import DecodingHost
from services.gateways.inference.port import EngineAnswer, EngineRequest

# Shapes: K items, M levels.
Float32s = npt.NDArray[np.float32]

# The first decoding compiles and allocates; on a slow machine that takes a while.
WARM_UP_MS = 120_000
_NOBODY = UserId("warm-up")


def _no_levels() -> Float32s:
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Recommendation(EngineAnswer):
    """An answer with each level's log p (IAP) and log s (RSP), Float32[K, M], in the list's order."""

    iap_logprob: Float32s = field(default_factory=_no_levels, compare=False)
    rsp_logscore: Float32s = field(default_factory=_no_levels, compare=False)


EngineOutcome = Recommendation | RankGRError


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answers.  `warm_up` is a prompt that it takes."""

    model_version: str
    catalog_version: str
    vocab_size: int
    warm_up: tuple[int, ...]


@dataclass(slots=True)
class RecommendItems:
    """Decode a prompt among the others that wait.

    Raises EngineDown, EngineBusy, DeadlineExceeded; for this request alone BadRequest, PromptTooLong,
    UnknownToken, EngineFailed.
    """

    host: DecodingHost
    model: Model
    default_deadline_ms: int
    note: Callable[[EngineOutcome], None]
    warm: bool = False

    async def __call__(self, request: EngineRequest) -> Recommendation:
        """The best items for this prompt, at most MAX_ITEMS where `max_items` says nothing."""
        try:
            outcome = await self._recommend(request)
        except RankGRError as error:
            self.note(error)
            raise
        self.note(outcome)
        return outcome

    async def _recommend(self, request: EngineRequest) -> Recommendation:
        decoded = await self.host.decode(self._asked(request), self._deadline_ms(request))
        result = decoded.result
        return Recommendation(
            model_version=self.model.model_version,
            catalog_version=self.model.catalog_version,
            items=_candidates(result),
            timings_ms={"queue": decoded.queue_ms} | result.timings_ms,
            iap_logprob=result.iap_logprob,
            rsp_logscore=result.rsp_logscore,
        )

    async def start(self) -> None:
        """Begin to work and decode once, so that nobody's first request pays for it.

        Raises what the model says of the warm-up prompt.
        """
        await self.host.start()
        prompt = EngineRequest(user_id=_NOBODY, tokens=self.model.warm_up, deadline_ms=WARM_UP_MS)
        await self(prompt)
        self.warm = True

    async def stop(self) -> None:
        """End; whoever still waits is told EngineDown."""
        self.warm = False
        await self.host.stop()

    async def ready(self) -> None:
        """Raise EngineDown unless a prompt can be decoded now."""
        if not self.warm:
            raise EngineDown("the engine is not warm yet")
        if not self.host.running:
            raise EngineDown("the engine has stopped")

    def _deadline_ms(self, request: EngineRequest) -> int:
        return self.default_deadline_ms if request.deadline_ms is None else request.deadline_ms

    def _asked(self, request: EngineRequest) -> DecodeRequest:
        for token in request.tokens:
            # What is no int64 cannot even be put into the array that the host checks.
            if not INT64_MIN <= token <= INT64_MAX:
                raise UnknownToken(token, self.model.vocab_size)
        return DecodeRequest(
            tokens=np.array(request.tokens, dtype=np.int64),
            beams=request.beams,
            lambdas=request.lambdas,
            exclude=frozenset(request.exclude),
            max_items=MAX_ITEMS if request.max_items is None else request.max_items,
        )


def _candidates(result: DecodeResult) -> tuple[Candidate, ...]:
    rows = zip(result.item_id.tolist(), result.score.tolist(), result.codes.tolist(), strict=True)
    return tuple(Candidate(ItemId(item), score, tuple(codes)) for item, score, codes in rows)
