"""RSP over pairs, gathered or dense, against the direct head one beam at a time."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch.nn import functional

from model.decoding.blocks import Blocks
from model.decoding.rank_stage import DENSE_SHARE, Pairs, RankStage

from .small_worlds import World


@pytest.mark.parametrize("share", [0.5 * DENSE_SHARE, 0.9])
@pytest.mark.parametrize("mode", ["mha", "literal"])
@pytest.mark.parametrize("mlp_input", ["attn", "attn_query"])
@pytest.mark.parametrize("own_keys", [0, 1, 2])
@pytest.mark.parametrize("blocks", [Blocks(), Blocks(scores=300, pairs=200)])
def test_few_and_many_pairs_score_like_the_direct_head(
    share: float,
    mode: Literal["mha", "literal"],
    mlp_input: Literal["attn", "attn_query"],
    own_keys: int,
    blocks: Blocks,
) -> None:
    network = World(sizes=(20, 20, 20), mode=mode, mlp_input=mlp_input).network()
    chance = torch.Generator().manual_seed(1)
    beams, level = 12, own_keys + 1
    shared = torch.randn(9, 16, generator=chance, dtype=torch.float64)
    own = torch.randn(beams, own_keys, 16, generator=chance, dtype=torch.float64)
    row, code = torch.nonzero(torch.rand(beams, 20, generator=chance) < share, as_tuple=True)
    head = network.rank_head
    with torch.inference_mode():
        found = RankStage(network, blocks).log_scores(
            level, Pairs(row, code), head.project(shared), head.project(own) if own_keys else None
        )
        expected = torch.stack(
            [head.score_logits(network.code_embeddings(level), torch.cat((shared, own[beam]))) for beam in range(beams)]
        )
        torch.testing.assert_close(found, functional.logsigmoid(expected[row, code]), rtol=0, atol=1e-9)
