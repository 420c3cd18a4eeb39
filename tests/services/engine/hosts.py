"""Decoders for the tests of the engine: a tiny arithmetic one, a gate that holds it, ones that break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.errors import BadRequest, EngineFailed, RankGRError, UnknownToken
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.decoder_thread import Decoder
from services.engine.decoding_host import DecodingHost
from services.engine.metrics import EngineMetrics
from services.engine.micro_batches import BatchLimits, MicroBatches
from services.engine.pace import Pace
from services.engine.recommend_items import RecommendItems
from services.engine.serving import Model, Serving
from services.runtime.clock import Clock, ManualClock

VOCABULARY = 50
LEVELS = 2


def sums(request: DecodeRequest) -> DecodeResult | RankGRError:
    """Items 1 to 5, whose scores tell the prompt's sum; a prompt with token 13 cannot be scored."""
    for token in request.tokens.tolist():
        if not 0 <= token < VOCABULARY:
            return UnknownToken(token, VOCABULARY)
        if token == 13:
            return EngineFailed("scores were not finite")
    if request.beams is not None and len(request.beams) != LEVELS:
        return BadRequest(f"beams: needs one width for each of {LEVELS} levels, has {len(request.beams)}")
    items = [item for item in range(1, 6) if item not in request.exclude][: request.max_items]
    total = float(request.tokens.sum())
    return DecodeResult(
        item_id=np.array(items, np.int64),
        score=np.array([total - item for item in items], np.float32),
        codes=np.array([[item, item % 3] for item in items], np.int32).reshape(-1, LEVELS),
        iap_logprob=np.full((len(items), LEVELS), -0.5, np.float32),
        rsp_logscore=np.full((len(items), LEVELS), -0.25, np.float32),
        timings_ms={"prefill": 1.5, "level1": 2.0, "level2": 3.0, "expand": 0.5},
    )


@dataclass
class SummingDecoder:
    """Decodes by arithmetic; `batches` are the sums of the prompts of each call."""

    batches: list[list[int]] = field(default_factory=list)

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
        self.batches.append([int(request.tokens.sum()) for request in requests])
        return [sums(request) for request in requests]


@dataclass
class RememberingDecoder(SummingDecoder):
    """Keeps the requests that it saw."""

    seen: list[DecodeRequest] = field(default_factory=list)

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
        self.seen.extend(requests)
        return super().__call__(requests)


@dataclass
class GatedDecoder(SummingDecoder):
    """Stands still in its first batch until the gate opens."""

    entered: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
        self.entered.set()
        assert self.gate.wait(30)
        return super().__call__(requests)


@dataclass
class BreakingDecoder(SummingDecoder):
    """Raises for a batch that holds a prompt of sum 7, as a library does that runs out of memory."""

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
        answers = super().__call__(requests)
        if 7 in self.batches[-1]:
            raise RuntimeError("out of memory")
        return answers


@dataclass
class DyingDecoder(SummingDecoder):
    """Breaks on a prompt of sum 7, and on everything after it, as a device does whose context is lost."""

    dead: bool = False

    def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
        answers = super().__call__(requests)
        self.dead = self.dead or 7 in self.batches[-1]
        if self.dead:
            raise RuntimeError("an illegal memory access was encountered")
        return answers


PROBE = DecodeRequest(np.array([1, 2]))
PLAIN_LIMITS = BatchLimits(most=4, max_wait_s=0.0, waiting=8)


def batching(decoder: Decoder, limits: BatchLimits = PLAIN_LIMITS, clock: Clock | None = None) -> MicroBatches:
    """A queue in front of this decoder."""
    return MicroBatches(decoder, limits, clock or ManualClock(), lambda _prompts: None, PROBE)


def recommending(host: DecodingHost, metrics: EngineMetrics, clock: Clock | None = None) -> RecommendItems:
    model = Model(model_version="m1", catalog_version="c1", vocab_size=VOCABULARY, warm_up=[[PROBE]])
    return RecommendItems(
        Serving(host, model), Pace(clock or ManualClock()), default_deadline_ms=30_000, note=metrics.note
    )


async def all_waiting(host: DecodingHost, count: int) -> None:
    """Let other tasks run until `count` requests wait."""
    for _ in range(10_000):
        if host.waiting == count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{host.waiting} requests wait, not {count}")
