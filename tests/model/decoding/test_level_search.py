"""Leaving out beams that cannot matter: how much it saves, and that it changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.blocks import Blocks
from model.decoding.request import DecodeRequest, DecodeResult, ScoredSids
from model.decoding.two_stage import TwoStageDecoder

from .small_worlds import World, prompt

ALL_AT_ONCE = Blocks(beams=10**9)
ONE_BY_ONE = Blocks(beams=1)


@given(
    seed=st.integers(0, 10**6),
    sizes=st.sampled_from([(9, 12), (5, 6, 7), (3, 4, 3, 4)]),
    width=st.integers(1, 30),
    mix=st.sampled_from([0.0, 0.5, -0.5]),
    scope=st.sampled_from(["prefix", "request"]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    zeroed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_extending_beams_one_by_one_gives_the_list_of_extending_all(
    seed: int,
    sizes: tuple[int, ...],
    width: int,
    mix: float,
    scope: Literal["prefix", "request"],
    dtype: torch.dtype,
    zeroed: bool,
) -> None:
    world = World(sizes=sizes, items=150, seed=seed, dtype=dtype, iap_mix=mix, scope=scope)
    config, network, catalog = world.config(), world.network(), world.catalog()
    if zeroed:
        # All scores tie: what is left out must still respect the order among equals.
        with torch.no_grad():
            for weight in network.parameters():
                weight.zero_()
    widths = (width, *(2 * width,) * (len(sizes) - 1))
    request = DecodeRequest(prompt(config, 12, seed), beams=widths, lambdas=(2 * width,) * len(sizes))
    whole, parts = (
        TwoStageDecoder(network, catalog, blocks=blocks).final_sids([request])[0]
        for blocks in (ALL_AT_ONCE, ONE_BY_ONE)
    )
    assert isinstance(whole, ScoredSids)
    assert isinstance(parts, ScoredSids)
    within = 1e-12 if dtype == torch.float64 else 1e-5
    if dtype == torch.float64 or zeroed:
        assert parts.sid.tolist() == whole.sid.tolist()
    np.testing.assert_allclose(parts.score, whole.score, rtol=0, atol=within)


def extended(world: World, blocks: Blocks) -> dict[str, int]:
    config, network, catalog = world.config(), world.network(), world.catalog()
    request = DecodeRequest(prompt(config, 12, 0), beams=(20, 10), lambdas=(99, 99))
    answer = TwoStageDecoder(network, catalog, blocks=blocks)([request])[0]
    assert isinstance(answer, DecodeResult)
    return answer.counts


def test_beams_that_cannot_matter_are_not_extended() -> None:
    world = World(sizes=(20, 20), items=400)
    counts = extended(world, ONE_BY_ONE)
    assert counts["beams2"] == 20
    assert counts["extended2"] < 15
    assert extended(world, ALL_AT_ONCE)["extended2"] == 20


@pytest.mark.parametrize("world", [World(iap_mix=-0.5), World(scope="request", lambdas=(99, 999))])
def test_where_the_bound_does_not_hold_every_beam_is_extended(world: World) -> None:
    counts = extended(replace(world, sizes=(20, 20), items=400), ONE_BY_ONE)
    assert counts["extended2"] == counts["beams2"] == 20


def test_counts_are_named_by_level() -> None:
    assert all(
        re.fullmatch(r"(beams|extended)[12]|(reused|computed)_tokens", name) for name in extended(World(), ONE_BY_ONE)
    )
