"""Batches are bounded, company is waited for, and each request succeeds or fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from contracts.errors import DeadlineExceeded, EngineBusy, EngineDown, EngineFailed, RankGRError, UnknownToken
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.decoder_thread import Decoder
from services.engine.decoding_host import Decoded
from services.engine.micro_batches import BatchLimits, MicroBatches
from services.runtime.clock import ManualClock

from .hosts import BreakingDecoder, DyingDecoder, GatedDecoder, SummingDecoder, all_waiting, batching

PLENTY_MS = 30_000


def prompt(*tokens: int) -> DecodeRequest:
    return DecodeRequest(np.array(tokens, np.int64))


@asynccontextmanager
async def started(
    host: Decoder, *, most: int = 4, waiting: int = 8, max_wait_s: float = 0.0
) -> AsyncIterator[MicroBatches]:
    batches = batching(host, BatchLimits(most, max_wait_s, waiting))
    await batches.start()
    yield batches
    await batches.stop()


async def is_held(host: GatedDecoder) -> None:
    assert await asyncio.to_thread(host.entered.wait, 30)


def asking(batches: MicroBatches, *tokens: int) -> asyncio.Task[Decoded]:
    return asyncio.create_task(batches.decode(prompt(*tokens), PLENTY_MS))


async def test_requests_that_come_while_a_batch_runs_are_decoded_together_in_order() -> None:
    host = GatedDecoder()
    async with started(host, most=3) as batches:
        first = asking(batches, 1)
        await is_held(host)
        others = [asking(batches, sum_) for sum_ in (2, 3, 4, 5)]
        await all_waiting(batches, 4)
        host.gate.set()
        answers = await asyncio.gather(first, *others)
    assert host.batches == [[1], [2, 3, 4], [5]]
    assert [float(answer.result.score[0]) for answer in answers] == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_a_first_request_waits_for_company_until_the_batch_is_full() -> None:
    host = SummingDecoder()
    # An hour: only a full batch ends the wait.
    async with started(host, most=3, max_wait_s=3600) as batches:
        await asyncio.gather(*(batches.decode(prompt(sum_), PLENTY_MS) for sum_ in (1, 2, 3)))
    assert host.batches == [[1, 2, 3]]


async def test_a_first_request_waits_for_company_no_longer_than_it_may() -> None:
    host = SummingDecoder()
    async with started(host, most=3, max_wait_s=0.001) as batches:
        await batches.decode(prompt(1), PLENTY_MS)
    assert host.batches == [[1]]


async def test_above_the_bound_a_request_is_refused_at_once() -> None:
    host = GatedDecoder()
    async with started(host, waiting=2) as batches:
        first = asking(batches, 1)
        await is_held(host)
        others = [asking(batches, 2), asking(batches, 3)]
        await all_waiting(batches, 2)
        with pytest.raises(EngineBusy, match="2 requests waiting"):
            await batches.decode(prompt(4), PLENTY_MS)
        host.gate.set()
        await asyncio.gather(first, *others)
        assert float((await batches.decode(prompt(4), PLENTY_MS)).result.score[0]) == 3.0


async def test_who_is_out_of_time_or_cancelled_leaves_the_queue_and_is_never_decoded() -> None:
    host = GatedDecoder()
    async with started(host, waiting=2) as batches:
        first = asking(batches, 1)
        await is_held(host)
        with pytest.raises(DeadlineExceeded, match="within 1 ms"):
            await batches.decode(prompt(2), 1)
        cancelled = asking(batches, 3)
        await all_waiting(batches, 1)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert batches.waiting == 0
        last = asking(batches, 4)
        await all_waiting(batches, 1)
        host.gate.set()
        await asyncio.gather(first, last)
    assert host.batches == [[1], [4]]


async def test_a_caller_that_leaves_in_mid_flight_harms_nobody() -> None:
    host = GatedDecoder()
    async with started(host) as batches:
        first = asking(batches, 1)
        await is_held(host)
        first.cancel()
        await asyncio.wait([first])
        host.gate.set()
        assert float((await batches.decode(prompt(2), PLENTY_MS)).result.score[0]) == 1.0


async def test_a_bad_request_spoils_only_itself() -> None:
    host = GatedDecoder()
    async with started(host) as batches:
        first = asking(batches, 1)
        await is_held(host)
        others = [asking(batches, token) for token in (2, 13, 99)]
        await all_waiting(batches, 3)
        host.gate.set()
        good, failed, unknown = await asyncio.gather(*others, return_exceptions=True)
        await first
    assert host.batches == [[1], [2, 13, 99]]
    assert isinstance(good, Decoded)
    assert isinstance(failed, EngineFailed)
    assert isinstance(unknown, UnknownToken)


async def test_a_host_that_breaks_on_a_batch_is_asked_for_each_alone() -> None:
    host = BreakingDecoder()
    async with started(host, most=3, max_wait_s=3600) as batches:
        answers = await asyncio.gather(
            *(batches.decode(prompt(sum_), PLENTY_MS) for sum_ in (1, 7, 2)), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [Decoded, EngineFailed, Decoded]
    # After the one that broke it alone, the probe shows that it still works.
    assert host.batches == [[1, 7, 2], [1], [7], [3], [2]]


async def test_a_host_that_answers_too_few_fails_the_batch_and_goes_on() -> None:
    class Forgetful(SummingDecoder):
        def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
            answers = super().__call__(requests)
            return answers[1:] if 7 in self.batches[-1] else answers

    async with started(Forgetful()) as batches:
        with pytest.raises(EngineFailed):
            await batches.decode(prompt(7), PLENTY_MS)
        assert (await batches.decode(prompt(1), PLENTY_MS)).queue_ms == 0.0


async def test_stopping_tells_who_still_waits() -> None:
    host = GatedDecoder()
    batches = batching(host)
    with pytest.raises(EngineDown):
        await batches.decode(prompt(1), PLENTY_MS)
    await batches.start()
    running = asking(batches, 1)
    await is_held(host)
    waiting = asking(batches, 2)
    await all_waiting(batches, 1)
    await batches.stop()
    for task in (running, waiting):
        with pytest.raises(EngineDown):
            await task
    host.gate.set()
    assert not batches.running


async def test_a_request_whose_deadline_has_passed_is_never_started() -> None:
    host, clock = GatedDecoder(), ManualClock()
    batches = batching(host, clock=clock)
    await batches.start()
    first = asking(batches, 1)
    await is_held(host)
    late = asyncio.create_task(batches.decode(prompt(2), 60_000))
    in_time = asyncio.create_task(batches.decode(prompt(3), 70_000))
    await all_waiting(batches, 2)
    # The loop's own timers have not moved: only the look at the clock keeps the late one out.
    clock.advance(60)
    host.gate.set()
    await asyncio.gather(in_time, return_exceptions=True)
    with pytest.raises(DeadlineExceeded, match="before its turn"):
        await late
    assert float((await in_time).result.score[0]) == 2.0
    await asyncio.wait([first])
    await batches.stop()
    assert host.batches == [[1], [3]]


async def test_the_decoder_is_told_when_nobody_waits_any_more() -> None:
    clock = ManualClock()
    told: list[bool] = []

    class Asking(GatedDecoder):
        def __call__(self, requests: Sequence[DecodeRequest], /) -> Sequence[DecodeResult | RankGRError]:
            answers = super().__call__(requests)
            told.extend(request.wanted() for request in requests if request.wanted is not None)
            return answers

    host = Asking()
    host.gate.set()
    batches = batching(host, clock=clock)
    await batches.start()
    await batches.decode(prompt(1), PLENTY_MS)
    host.gate.clear()
    host.entered.clear()
    leaving = asking(batches, 2)
    await is_held(host)
    leaving.cancel()
    await asyncio.wait([leaving])
    host.gate.set()
    await batches.decode(prompt(3), PLENTY_MS)
    assert told == [True, False, True]
    await batches.stop()


async def test_a_decoder_that_breaks_for_good_is_lost_and_everybody_is_told() -> None:
    host = DyingDecoder()
    batches = batching(host, BatchLimits(most=3, max_wait_s=3600, waiting=8))
    await batches.start()
    answers = await asyncio.gather(
        *(batches.decode(prompt(sum_), PLENTY_MS) for sum_ in (1, 7, 2)), return_exceptions=True
    )
    # Not EngineFailed, which is final: elsewhere these prompts may well be decoded.
    assert [type(answer) for answer in answers] == [EngineDown, EngineDown, EngineDown]
    # The batch, its first prompt alone, the probe.
    assert host.batches == [[1, 7, 2], [1], [3]]
    assert not batches.running
    with pytest.raises(EngineDown):
        await batches.decode(prompt(1), PLENTY_MS)
    await batches.stop()


async def test_a_decoder_that_never_comes_back_takes_nothing_more() -> None:
    host, clock = GatedDecoder(), ManualClock()
    batches = batching(host, BatchLimits(most=1, max_wait_s=0, waiting=8, stalled_after_s=30), clock)
    await batches.start()
    first = asking(batches, 1)
    await is_held(host)
    clock.advance(29)
    taken = [batches.running]
    clock.advance(1)
    taken.append(batches.running)
    with pytest.raises(EngineDown):
        await batches.decode(prompt(2), PLENTY_MS)
    host.gate.set()
    await first
    assert [*taken, batches.running] == [True, False, True]
    await batches.stop()
