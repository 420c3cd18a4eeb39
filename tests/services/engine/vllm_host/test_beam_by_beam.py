"""The RSP logits processor inside a real vLLM, a request per beam: every list equals the torch host's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import pytest_asyncio

from contracts.errors import BadRequest, EngineFailed
from model.bundle.read import Bundle
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from services.engine.vllm_host.beam_by_beam import BeamByBeam
from services.engine.vllm_host.host import VllmHost

from .answers import assert_same_list
from .bundles import POISON, Recipe, poison, prompt
from .hosts import PLENTY_MS, STARTS_VLLM, options_for, started

pytestmark = [*STARTS_VLLM, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Stand:
    """A bundle, vLLM around it, and our own decoder for the same weights."""

    bundle: Bundle
    host: VllmHost
    near: TwoStageDecoder

    async def ask(self, request: DecodeRequest) -> DecodeResult:
        return (await self.host.decode(request, PLENTY_MS)).result

    def expected(self, request: DecodeRequest) -> DecodeResult:
        answer = self.near([request])[0]
        assert isinstance(answer, DecodeResult), repr(answer)
        # vLLM carries one number per code: log p alone is not among what it tells.
        unknown = np.full_like(answer.iap_logprob, np.nan)
        mix = self.bundle.config.decode.iap_mix if request.iap_mix is None else request.iap_mix
        return replace(answer, iap_logprob=unknown, rsp_logscore=unknown if mix else answer.rsp_logscore)

    def request(self, tokens: int, seed: int) -> DecodeRequest:
        return DecodeRequest(prompt(self.bundle, tokens, seed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    # Three levels: a beam's older keys come out of the cache.
    bundle = Recipe(
        sizes=(9, 11, 13), items=700, beams=(4, 9, 30), lambdas=(6, 5, 7), keys="items", neighbours=True
    ).write(tmp_path_factory.mktemp("beams") / "bundle")
    poison(bundle)
    near = TwoStageDecoder(bundle.network(), bundle.catalog, neighbours=bundle.neighbours)
    async with started(
        options_for(bundle, step_tokens=256), BeamByBeam(bundle.config, bundle.catalog, bundle.neighbours)
    ) as host:
        yield Stand(bundle, host, near)


@pytest.mark.parametrize("tokens", [2, 31, 32, 33, 64, 300])
async def test_a_list_is_the_torch_hosts_wherever_the_prompt_ends_in_a_block(stand: Stand, tokens: int) -> None:
    request = stand.request(tokens, seed=tokens)
    for _ in range(2):
        assert_same_list(await stand.ask(request), stand.expected(request))


@pytest.mark.parametrize("width", [1, 8, 64])
@pytest.mark.parametrize("most", [1, 4, 1000])
async def test_one_width_for_all_levels_and_any_lambda(stand: Stand, width: int, most: int) -> None:
    request = replace(stand.request(50, seed=width + most), beams=(width,) * 3, lambdas=(most,) * 3)
    assert_same_list(await stand.ask(request), stand.expected(request))


async def test_a_list_is_the_slow_references(stand: Stand) -> None:
    request = replace(stand.request(30, seed=2), beams=(3, 5, 8), lambdas=(4, 4, 4))
    found = ReferenceDecoder(
        stand.bundle.network(), stand.bundle.config, stand.bundle.catalog, neighbours=stand.bundle.neighbours
    )(request)
    assert_same_list(await stand.ask(request), replace(found, iap_logprob=np.full_like(found.iap_logprob, np.nan)))


async def test_users_with_wishes_of_their_own_at_once(stand: Stand) -> None:
    gone = frozenset(stand.bundle.catalog.item_id[::2].tolist())
    plain = stand.request(90, seed=4)
    wishes = [
        plain,
        replace(plain, exclude=gone),
        replace(plain, iap_mix=0.5, max_items=12),
        stand.request(41, seed=5),
        replace(plain, exclude=frozenset(stand.bundle.catalog.item_id.tolist())),
    ]
    answers = await asyncio.gather(*(stand.ask(request) for request in wishes))
    for request, found in zip(wishes, answers, strict=True):
        assert_same_list(found, stand.expected(request))
    assert not gone & set(answers[1].item_id.tolist())
    assert len(answers[-1].item_id) == 0


async def test_a_bad_request_spoils_only_itself(stand: Stand) -> None:
    good = stand.request(60, seed=6)
    bad = [
        DecodeRequest(np.concatenate(([POISON], good.tokens))),
        replace(good, lambda_scope="request"),
        replace(good, beams=(1,)),
    ]
    answers = await asyncio.gather(stand.ask(good), *map(stand.ask, bad), return_exceptions=True)
    assert isinstance(answers[0], DecodeResult)
    assert_same_list(answers[0], stand.expected(good))
    assert [type(answer) for answer in answers[1:]] == [EngineFailed, BadRequest, BadRequest]


async def test_a_caller_that_leaves_takes_all_its_beams_along(stand: Stand) -> None:
    leaving = asyncio.create_task(stand.ask(stand.request(300, seed=8)))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    request = stand.request(300, seed=9)
    assert_same_list(await stand.ask(request), stand.expected(request))
