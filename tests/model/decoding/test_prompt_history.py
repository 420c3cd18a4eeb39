"""A history is read back from its prompt, whatever the layout; what the catalogue does not have is passed over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from contracts.errors import BadBundle
from model.decoding.prompt_history import PromptHistory
from model.network.config import RankGRConfig
from model.prompt import PromptContext, PromptFormat, prompt_from_history
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie

from .small_worlds import World, history_prompt

SIZES = (5, 7)


def catalog_of(seed: int, items: int = 20) -> Catalog:
    chance = np.random.default_rng(seed)
    taken = chance.choice(SIZES[0] * SIZES[1], items, replace=False)
    return Catalog(
        item_id=np.arange(items) * 10,
        codes=np.stack(np.unravel_index(taken, SIZES), 1).astype(np.int32),
        popularity=np.zeros(items, np.float32),
        level_sizes=SIZES,
    )


def config_of(fmt: PromptFormat) -> RankGRConfig:
    return RankGRConfig.create(
        hidden_size=8,
        layers=1,
        heads=1,
        kv_heads=1,
        intermediate_size=8,
        vocab_size=fmt.vocab_size,
        max_position=fmt.max_tokens + 8,
        levels=[{"size": n, "token_offset": o} for n, o in zip(fmt.level_sizes, fmt.token_offsets, strict=True)],
        special_tokens=fmt.special_tokens,
        prompt=fmt.prompt_section(),
        rank_head={"heads": 1, "dim": 4, "mlp_hidden": 4},
        decode={"beams": (4, 10), "lambdas": (4, 6)},
    )


@given(
    seed=st.integers(0, 5),
    events=st.lists(st.tuples(st.integers(0, 25), st.sampled_from(list(Level))), max_size=40),
    layout=st.sampled_from(["items", "items_behaviors"]),
)
def test_what_a_prompt_was_made_of_comes_back(seed: int, events: list[tuple[int, Level]], layout: str) -> None:
    catalog = catalog_of(seed)
    fmt = PromptFormat.create(SIZES, ("home",), layout=layout, max_tokens=96, history_level=Level.PSEUDO_EXPOSURE)
    items, levels = [10 * number for number, _ in events], [level for _, level in events]
    prompt = prompt_from_history(fmt, catalog, items, [int(level) for level in levels], PromptContext())
    trie = Trie.of_catalog(catalog)
    sid_H, clicked_H = PromptHistory.of(config_of(fmt), trie)(prompt.tokens)
    known = [(item, level) for item, level in zip(items, levels, strict=True) if item // 10 < 20]
    # The oldest leave the front of a long prompt.
    known = known[len(known) - len(sid_H) :]
    assert sid_H.tolist() == [int(trie.sid_of_row[item // 10]) for item, _ in known]
    told = layout == "items_behaviors"
    assert clicked_H.tolist() == [level >= Level.CLICK or not told for _, level in known]
    assert len(sid_H) >= min(len(known), 20)


def test_ids_that_no_item_has_are_passed_over() -> None:
    world = World(sizes=(6, 7), items=10)
    catalog, config = world.catalog(), world.config()
    trie = Trie.of_catalog(catalog)
    tokens = history_prompt(catalog, config, [4, 2, 4], [False, True, False])
    free = next(code for code in range(7) if [0, code] not in catalog.codes.tolist())
    strange = [3, config.levels[0].token_offset, config.levels[1].token_offset + free]
    sid_H, clicked_H = PromptHistory.of(config, trie)(np.concatenate([tokens[:3], strange, tokens[3:]]))
    assert sid_H.tolist() == [trie.sid_of_row[row] for row in (4, 2, 4)]
    assert clicked_H.tolist() == [True, False, True]


@pytest.mark.parametrize("tokens", [[], [1], [3, 1]])
def test_a_prompt_without_a_history_has_none(tokens: list[int]) -> None:
    world = World()
    sid_H, clicked_H = PromptHistory.of(world.config(), Trie.of_catalog(world.catalog()))(np.array(tokens, np.int64))
    assert (len(sid_H), len(clicked_H)) == (0, 0)


def test_more_combinations_than_a_number_holds_are_one_line() -> None:
    world = World(sizes=(65536,) * 4, items=5)
    with pytest.raises(BadBundle, match="more combinations"):
        PromptHistory.of(world.config(), Trie.of_catalog(world.catalog()))
