"""Each fast path is really taken, so that none is lost silently."""

from __future__ import annotations

import pytest
import torch

from model.decoding.blocks import Blocks
from model.decoding.fused_network import FusedNetwork
from model.decoding.merge_own_keys import MergeInTorch
from model.decoding.pair_kernel import rescore
from model.decoding.pair_scorers import scorer_for
from model.decoding.pairs_in_torch import PairsInTorch
from model.decoding.pairs_on_cpu import PairsOnCpu
from model.decoding.request import DecodeResult
from model.decoding.trie_on_device import levels_of
from model.decoding.two_stage import TwoStageDecoder
from model.semantic_id.trie import Trie

from .small_worlds import World, requests_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float32_and_bfloat16_on_a_cpu_run_compiled_loops(dtype: torch.dtype) -> None:
    world = World(dtype=dtype)
    network, trie = world.network(), levels_of(Trie.of_catalog(world.catalog()), torch.device("cpu"))
    assert isinstance(scorer_for(network, trie, Blocks()), PairsOnCpu)
    assert isinstance(scorer_for(FusedNetwork(network), trie, Blocks()), PairsOnCpu)


def test_the_loops_are_machine_code() -> None:
    world = World(dtype=torch.float32, sizes=(4, 5, 6), items=60)
    config, network, catalog = world.config(), world.network(), world.catalog()
    assert isinstance(TwoStageDecoder(network, catalog)(requests_of(config, catalog))[0], DecodeResult)
    for keys in (1, 2):
        assert rescore(config.rank_head.heads, keys).nopython_signatures, "interpreted, or never called"  # type: ignore[attr-defined]


def test_float64_keeps_its_own_arithmetic() -> None:
    world = World(dtype=torch.float64)
    trie = levels_of(Trie.of_catalog(world.catalog()), torch.device("cpu"))
    scorer = scorer_for(world.network(), trie, Blocks())
    assert isinstance(scorer, PairsInTorch)
    assert isinstance(scorer.merge, MergeInTorch)
