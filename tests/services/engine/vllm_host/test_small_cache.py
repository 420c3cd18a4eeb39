"""A paged cache that holds little more than one step: blocks go from user to user, whatever the last one left."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from contracts.errors import BadRequest, DeadlineExceeded, EngineFailed
from model.bundle.read import Bundle
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from services.engine.vllm_host.host import VllmHost
from services.engine.vllm_host.pooled import PooledSearch

from .answers import assert_same_list
from .bundles import POISON, Recipe, poison, prompt
from .hosts import PLENTY_MS, STARTS_VLLM, options_for, started

pytestmark = [*STARTS_VLLM, pytest.mark.asyncio(loop_scope="module")]

SOAK = 2000
PAGE_BYTES = 4096


@dataclass
class Stand:
    """A bundle, vLLM around it, and our own decoder for the same weights."""

    bundle: Bundle
    host: VllmHost
    near: TwoStageDecoder

    async def ask(self, request: DecodeRequest) -> DecodeResult:
        return (await self.host.decode(request, PLENTY_MS)).result

    def poisoned(self, tokens: int, seed: int) -> DecodeRequest:
        return DecodeRequest(np.concatenate(([POISON], prompt(self.bundle, tokens - 1, seed))))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    bundle = Recipe(layers=1, beams=(4, 12), lambdas=(6, 6)).write(tmp_path_factory.mktemp("small") / "bundle")
    poison(bundle)
    near = TwoStageDecoder(bundle.network(), bundle.catalog)
    options = replace(options_for(bundle, most=8, step_tokens=64), cache_bytes=0)
    async with started(options, PooledSearch()) as host:
        yield Stand(bundle, host, near)


async def test_what_a_broken_prompt_leaves_behind_breaks_nobody(stand: Stand) -> None:
    chance = random.Random(0)
    for _ in range(60):
        # Not whole blocks, in one step and in several: what lies behind an end is what somebody else left there.
        lengths = chance.choices((1, 9, 33, 40, 64, 95, 200, 400), k=chance.randint(2, 12))
        good = [DecodeRequest(prompt(stand.bundle, tokens, chance.randrange(50))) for tokens in lengths]
        broken = [
            DecodeRequest(np.insert(request.tokens, chance.randint(0, len(request.tokens)), POISON))
            for request in good[::3]
        ]
        answers = await asyncio.gather(*map(stand.ask, good + broken), return_exceptions=True)
        for request, found in zip(good, answers, strict=False):
            assert isinstance(found, DecodeResult), repr(found)
            expected = stand.near([request])[0]
            assert isinstance(expected, DecodeResult)
            assert_same_list(found, expected)
        assert {type(answer) for answer in answers[len(good) :]} == {EngineFailed}


async def test_a_broken_prompt_stays_broken_when_its_beginning_is_found_again(stand: Stand) -> None:
    first = stand.poisoned(200, 7)
    for _ in range(2):
        with pytest.raises(EngineFailed):
            await stand.ask(first)
    with pytest.raises(EngineFailed):
        await stand.ask(DecodeRequest(np.concatenate((first.tokens[:128], prompt(stand.bundle, 40, 8)))))


def resident_bytes() -> int:
    """Of vLLM's process and this one."""
    pids = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES for pid in pids)


async def test_thousands_of_requests_with_faults_leave_no_memory_behind(stand: Stand) -> None:
    good = DecodeRequest(prompt(stand.bundle, 70, 0))
    expected = stand.near([good])[0]
    assert isinstance(expected, DecodeResult)
    kinds = [good, stand.poisoned(60, 1), replace(good, beams=(0, 1)), good, DecodeRequest(prompt(stand.bundle, 9, 3))]

    async def one(number: int) -> None:
        request = kinds[number % len(kinds)]
        deadline_ms = 1 if number % 7 == 3 else PLENTY_MS
        try:
            found = (await stand.host.decode(request, deadline_ms)).result
        except (EngineFailed, BadRequest, DeadlineExceeded):
            return
        if request is good:
            assert_same_list(found, expected)

    async def soak(first: int, count: int) -> None:
        for start in range(first, first + count, 20):
            await asyncio.gather(*(one(number) for number in range(start, start + 20)))

    await soak(0, SOAK // 4)
    before = resident_bytes()
    await soak(SOAK // 4, SOAK * 3 // 4)
    grown_mb = (resident_bytes() - before) / 2**20
    assert grown_mb < 30, f"{grown_mb:.0f} MB more after {SOAK * 3 // 4} requests"
    assert stand.host.waiting == 0
