"""Other shapes and formats of the model inside a real vLLM, and a user's next prompt at full length."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from services.engine.vllm_host.pooled import PooledSearch

from .answers import assert_same_list, overlap
from .bundles import Recipe, prompt
from .hosts import PLENTY_MS, STARTS_VLLM, options_for, started

pytestmark = STARTS_VLLM

SHAPES = {
    # The states themselves are the keys: two of vLLM's layers hold one of them.
    "literal": Recipe(mode="literal", keys="all", hidden=128, heads=4),
    # Wider than the backbone's keys by far, and mixed with IAP.
    "wide head, three levels": Recipe(
        sizes=(9, 11, 13), items=600, rank_heads=4, rank_dim=48, iap_mix=0.5, beams=(5, 9, 40), lambdas=(6, 6, 6)
    ),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_other_shapes(name: str, tmp_path: Path) -> None:
    bundle = SHAPES[name].write(tmp_path / "bundle")
    near = TwoStageDecoder(bundle.network(), bundle.catalog)
    requests = [DecodeRequest(prompt(bundle, tokens, tokens)) for tokens in (3, 64, 201)]
    async with started(options_for(bundle), PooledSearch()) as host:
        for _ in range(2):
            answers = await asyncio.gather(*(host.decode(request, PLENTY_MS) for request in requests))
            for expected, found in zip(near(requests), answers, strict=True):
                assert isinstance(expected, DecodeResult)
                assert_same_list(found.result, expected)


async def test_bfloat16_finds_nearly_the_same_items(tmp_path: Path) -> None:
    bundle = Recipe(items=3000, beams=(20, 300), lambdas=(40, 40)).write(tmp_path / "bundle")
    near = TwoStageDecoder(bundle.network(), bundle.catalog)
    requests = [DecodeRequest(prompt(bundle, tokens, tokens)) for tokens in (40, 97, 150, 260, 333, 399)]
    async with started(replace(options_for(bundle), dtype="bfloat16"), PooledSearch()) as host:
        shares: list[float] = []
        for request, expected in zip(requests, near(requests), strict=True):
            assert isinstance(expected, DecodeResult)
            shares.append(overlap((await host.decode(request, PLENTY_MS)).result, expected))
    assert sum(shares) / len(shares) >= 0.95, shares


async def test_a_users_next_prompt_computes_what_is_new_and_one_block(tmp_path: Path) -> None:
    # 900 items, then 10 more: the prompt grows at its end, the context tokens move.
    bundle = Recipe(max_tokens=2000, beams=(12, 60)).write(tmp_path / "bundle")
    near = TwoStageDecoder(bundle.network(), bundle.catalog)
    full = prompt(bundle, 2 * 910 + 4, seed=5)
    first = DecodeRequest(np.concatenate((full[: 2 * 900], full[-4:])))
    second = DecodeRequest(full)
    async with started(options_for(bundle), PooledSearch()) as host:
        cold = (await host.decode(first, PLENTY_MS)).result
        warm = (await host.decode(second, PLENTY_MS)).result
    assert cold.counts["computed_tokens"] == len(first.tokens)
    assert warm.counts["computed_tokens"] <= 20 + 32
    expected = near([second])[0]
    assert isinstance(expected, DecodeResult)
    assert_same_list(warm, expected)
