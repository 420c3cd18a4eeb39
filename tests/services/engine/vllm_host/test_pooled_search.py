"""The pooled form inside a real vLLM: every list equals the torch host's, and the slow reference's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import pytest_asyncio

from contracts.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineBusy,
    EngineFailed,
    PromptTooLong,
    RankGRError,
    UnknownToken,
)
from model.bundle.read import Bundle
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.semantic_id.item_filter import ItemFilter
from services.engine.vllm_host.host import VllmHost
from services.engine.vllm_host.pooled import PooledSearch

from ..hosts import all_waiting
from .answers import assert_same_list
from .bundles import POISON, Recipe, poison, prompt
from .hosts import PLENTY_MS, STARTS_VLLM, options_for, started

pytestmark = [*STARTS_VLLM, pytest.mark.asyncio(loop_scope="module")]

# Two blocks of vLLM's cache: a longer prompt is read in several steps.
STEP_TOKENS = 64


@dataclass
class Stand:
    """A bundle, vLLM around it, and our own decoder for the same weights."""

    bundle: Bundle
    host: VllmHost
    near: TwoStageDecoder
    batches: list[int] = field(default_factory=list)

    async def ask(self, request: DecodeRequest) -> DecodeResult:
        return (await self.host.decode(request, PLENTY_MS)).result

    def expected(self, request: DecodeRequest) -> DecodeResult:
        answer = self.near([request])[0]
        assert isinstance(answer, DecodeResult), repr(answer)
        return answer

    def request(self, tokens: int, seed: int) -> DecodeRequest:
        return DecodeRequest(prompt(self.bundle, tokens, seed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    bundle = Recipe(neighbours=True).write(tmp_path_factory.mktemp("pooled") / "bundle")
    poison(bundle)
    batches: list[int] = []
    near = TwoStageDecoder(bundle.network(), bundle.catalog, neighbours=bundle.neighbours)
    options = options_for(bundle, most=32, waiting=4, step_tokens=STEP_TOKENS)
    async with started(options, PooledSearch(), batches.append) as host:
        yield Stand(bundle, host, near, batches)


@pytest.mark.parametrize("tokens", [1, 2, 31, 32, 33, 64, 95, 300, 400])
async def test_a_list_is_the_torch_hosts_cold_and_from_the_prefix_cache(stand: Stand, tokens: int) -> None:
    request = stand.request(tokens, seed=tokens)
    expected = stand.expected(request)
    cold = await stand.ask(request)
    again = await stand.ask(request)
    assert_same_list(cold, expected)
    assert_same_list(again, expected)
    # The last token is always computed, and vLLM shares whole blocks.
    assert cold.counts["reused_tokens"] == 0
    assert again.counts["reused_tokens"] == (tokens - 1) // 32 * 32


@pytest.mark.parametrize("tokens", [9, 77])
async def test_a_list_is_the_slow_references(stand: Stand, tokens: int) -> None:
    request = replace(stand.request(tokens, seed=50 + tokens), beams=(4, 30), lambdas=(6, 9))
    reference = ReferenceDecoder(
        stand.bundle.network(), stand.bundle.config, stand.bundle.catalog, neighbours=stand.bundle.neighbours
    )
    assert_same_list(await stand.ask(request), reference(request))


async def test_a_shared_beginning_with_a_new_end_is_reused_and_changes_nothing(stand: Stand) -> None:
    first = stand.request(300, seed=7)
    await stand.ask(first)
    longer = DecodeRequest(np.concatenate((first.tokens[:250], prompt(stand.bundle, 60, seed=8))))
    found = await stand.ask(longer)
    assert found.counts["reused_tokens"] == 224
    assert_same_list(found, stand.expected(longer))


async def test_thirty_two_users_at_once_with_wishes_of_their_own(stand: Stand) -> None:
    catalog = stand.bundle.catalog
    gone = frozenset(catalog.item_id[::3].tolist())
    wishes: list[DecodeRequest] = []
    for user in range(32):
        plain = stand.request(20 + 11 * user, seed=100 + user)
        wishes.append(
            [
                plain,
                replace(plain, beams=(3, 10), lambdas=(5, 4)),
                replace(plain, beams=(1000, 5000), lambdas=(1000, 1000), max_items=200),
                replace(plain, exclude=gone | {-5}, iap_mix=0.5),
                replace(plain, lambda_scope="request", lambdas=(15, 80)),
                replace(plain, item_filter=ItemFilter.of_items(catalog, gone), max_items=11),
            ][user % 6]
        )
    expected = [stand.expected(request) for request in wishes]
    stand.batches.clear()
    answers = await asyncio.gather(*(stand.ask(request) for request in wishes))
    for found, wanted in zip(answers, expected, strict=True):
        assert_same_list(found, wanted)
    for user in (3, 5, 9, 11):
        assert not gone & set(answers[user].item_id.tolist())
    assert sum(stand.batches) == 32
    assert max(stand.batches) > 1, "users whose prompts end together must be searched together"


async def test_a_bad_request_spoils_only_itself(stand: Stand) -> None:
    good = stand.request(40, seed=1)
    bad: dict[type[RankGRError], DecodeRequest] = {
        PromptTooLong: stand.request(432, seed=2),
        UnknownToken: DecodeRequest(np.array([stand.bundle.config.vocab_size])),
        BadRequest: replace(good, beams=(0, 4)),
        EngineFailed: DecodeRequest(np.append(good.tokens, POISON)),
    }
    bad_filter = replace(good, item_filter=ItemFilter(b"x"))
    answers = await asyncio.gather(
        stand.ask(good),
        *(stand.ask(request) for request in bad.values()),
        stand.ask(bad_filter),
        return_exceptions=True,
    )
    assert isinstance(answers[0], DecodeResult)
    assert_same_list(answers[0], stand.expected(good))
    assert [type(answer) for answer in answers[1:]] == [*bad, BadRequest]
    assert stand.host.waiting == 0
    assert_same_list(await stand.ask(good), stand.expected(good))


async def test_everything_excluded_is_an_empty_list(stand: Stand) -> None:
    request = replace(stand.request(40, seed=1), exclude=frozenset(stand.bundle.catalog.item_id.tolist()))
    found = await stand.ask(request)
    assert len(found.item_id) == 0
    assert found.codes.shape == (0, 2)


async def test_who_is_out_of_time_or_leaves_frees_the_place(stand: Stand) -> None:
    request = stand.request(400, seed=31)
    with pytest.raises(DeadlineExceeded, match="within 1 ms"):
        await stand.host.decode(request, 1)
    leaving = asyncio.create_task(stand.host.decode(request, PLENTY_MS))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert_same_list(await stand.ask(request), stand.expected(request))


async def test_above_the_bound_a_request_is_refused_at_once(stand: Stand) -> None:
    # 32 in the step and 4 that wait; the next one is too many.
    asked = [asyncio.create_task(stand.ask(stand.request(200, seed=200 + user))) for user in range(36)]
    await all_waiting(stand.host, 4)
    with pytest.raises(EngineBusy, match="4 requests waiting"):
        await stand.ask(stand.request(10, seed=1))
    answers = await asyncio.gather(*asked)
    assert len(answers) == 36


async def test_the_answer_tells_its_stages(stand: Stand) -> None:
    decoded = await stand.host.decode(stand.request(64, seed=3), PLENTY_MS)
    assert list(decoded.result.timings_ms) == ["prefill", "gather", "level1", "level2", "expand"]
    assert min(decoded.result.timings_ms.values()) > 0
    assert decoded.queue_ms > 0
    assert decoded.result.counts["computed_tokens"] == 64
