"""The counted operations against a brute count: loops over every product, and torch's own counter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.network.config import RankGRConfig
from model.semantic_id.trie import Trie
from services.bench.engine.direct import DirectSearch
from services.bench.engine.flops import Work, body_flops, direct_flops, layer_flops, two_stage_flops
from services.bench.engine.shapes import DEFAULT, SMALL
from services.bench.engine.weights import spread_network

TINY = replace(SMALL, hidden_size=8, heads=2, kv_heads=1, intermediate_size=6, level_sizes=(5, 7), density=1.0)


def counted_layers(config: RankGRConfig, attended: list[int]) -> int:
    """Tokens that attend to so many, one multiply-add after the other."""
    hidden, head, heads, narrow = config.hidden_size, config.head_dim, config.num_attention_heads, 1
    total = 0
    for _ in range(config.num_hidden_layers):
        for keys in attended:
            for _ in range(hidden):
                # q and o, k and v, gate, up and down.
                total += 2 * (2 * heads * head + 2 * narrow * head + 3 * config.intermediate_size)
            for _ in range(heads):
                for _ in range(keys):
                    total += 2 * head + 2 * head
    return total


def counted_search(config: RankGRConfig, work: Work) -> int:
    """The factorised search of two levels, as methods.md 1.5 writes it down."""
    head, hidden = config.rank_head, config.hidden_size
    heads, units, width, tokens = head.heads, head.mlp_hidden, head.heads * head.dim, work.prompt_tokens
    first, second = config.level_sizes
    total = counted_layers(config, [place + 1 for place in range(tokens)])
    for _ in range(tokens):
        total += 2 * hidden * width + 2 * hidden * width
    total += 2 * hidden * first
    for _ in range(work.lambdas[0]):
        total += tokens * (2 * width + 2 * width) + 2 * width * units + 2 * units
    for _ in range(work.beams[0]):
        total += counted_layers(config, [tokens + 1]) + 2 * hidden * 2 * width
        total += 2 * hidden * second
        total += 2 * width * units
        for _ in range(work.lambdas[1]):
            total += 2 * width
            for _ in range(heads):
                for _ in range(units):
                    total += 2 + 2
            total += 2 * units
    for _ in range(second):
        total += tokens * (2 * width + 2 * width) + 2 * width * units
    return total


@pytest.mark.parametrize("work", [Work(6, (3, 9), (4, 5)), Work(11, (5, 2), (5, 7))])
def test_the_factorised_count_is_that_of_the_loops(work: Work) -> None:
    config = TINY.config()
    assert sum(two_stage_flops(config, work).values()) == counted_search(config, work)


def test_the_naive_count_is_what_torch_counts_in_the_naive_search() -> None:
    config = TINY.config()
    tokens, work = 12, Work(12, (3, 9), (4, 5))
    network = spread_network(config, 0, torch.float32)
    codes = np.argwhere(np.ones(TINY.level_sizes)).astype(np.int32)
    search = DirectSearch(network, Trie.of(codes, TINY.level_sizes))
    with FlopCounterMode(display=False) as counter:
        search.two_stage(np.arange(tokens, dtype=np.int64), work.beams, work.lambdas)
    # torch's counter leaves out the backbone's fused attention.
    attention = body_flops(config, tokens) - tokens * layer_flops(config)
    beams_attention = work.beams[0] * (body_flops(config, 1) - layer_flops(config)) * (tokens + 1)
    assert counter.get_total_flops() == sum(direct_flops(config, work).values()) - 2 * attention - beams_attention


def test_a_reused_prefix_costs_nothing() -> None:
    config = TINY.config()
    whole = two_stage_flops(config, Work(20, (3, 9), (4, 5)))
    warm = two_stage_flops(config, Work(20, (3, 9), (4, 5), reused=16))
    assert warm["prefill"] < whole["prefill"]
    assert {name: flops for name, flops in warm.items() if name != "prefill"} == {
        name: flops for name, flops in whole.items() if name != "prefill"
    }
    new = counted_layers(config, [17, 18, 19, 20])
    projected = 4 * 2 * config.hidden_size * 2 * config.rank_head.heads * config.rank_head.dim
    assert warm["prefill"] == new + projected


def test_at_full_widths_the_factorisation_saves_what_the_design_says() -> None:
    """methods.md 1.5 counts the attention of 500 x 1400 pairs, L 2000, d 896, r 128, at 5178 GFLOP."""
    work = Work(2048, (500, 1400), (1400, 1400))
    config = DEFAULT.config()
    assert sum(direct_flops(config, work).values()) > 30 * sum(two_stage_flops(config, work).values())
