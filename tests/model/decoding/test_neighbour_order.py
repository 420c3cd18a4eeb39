"""Lists ordered by pairs of training: the batched decoder as the slow reference says, and as one counts by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.decoding.neighbour_order import NeighbourOrdering
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest
from model.decoding.two_stage import TwoStageDecoder
from model.network.config import NeighbourOrder
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours
from model.semantic_id.trie import Trie

from .small_worlds import World, history_prompt, requests_of
from .test_two_stage import assert_same_sids, result_of, sids_of

ORDER = NeighbourOrder(weight=3.0, floor=0.01, recency=0.6, returns=0.4)
WORLDS = {
    "two levels": World(order=ORDER, beams=(4, 20)),
    "IAP mixed in": World(order=ORDER, iap_mix=0.5, beams=(4, 20), seed=2),
    "three levels": World(sizes=(4, 5, 6), items=60, seed=3, beams=(3, 6, 12), lambdas=(4, 3, 4), order=ORDER),
    "one level": World(sizes=(30,), beams=(11,), lambdas=(17,), order=ORDER),
    "nobody returns": World(order=ORDER.model_copy(update={"returns": 0.0}), beams=(4, 20), seed=4),
}


def histories_of(world: World, seed: int, count: int = 4) -> list[DecodeRequest]:
    """Prompts of real histories, short and long."""
    chance = np.random.default_rng(seed)
    catalog, config = world.catalog(), world.config()
    found = []
    for length in chance.integers(1, 36 // (len(world.sizes) + 1), count).tolist():
        rows = chance.integers(0, len(catalog), length).tolist()
        shown = (chance.random(length) < 0.5).tolist()
        found.append(DecodeRequest(history_prompt(catalog, config, rows, shown)))
    return found


@pytest.mark.parametrize("name", WORLDS)
def test_batched_equals_reference_to_1e_9(name: str) -> None:
    world = WORLDS[name]
    config, network, catalog, neighbours = world.config(), world.network(), world.catalog(), world.neighbours()
    batched = TwoStageDecoder(network, catalog, neighbours=neighbours)
    reference = ReferenceDecoder(network, config, catalog, neighbours=neighbours)
    requests = [*histories_of(world, world.seed), *requests_of(config, catalog, world.seed)]
    for request, answer in zip(requests, batched.final_sids(requests), strict=True):
        assert_same_sids(sids_of(answer), reference.final_sids(request), 1e-9)
    for request, result in zip(requests, batched(requests), strict=True):
        assert result_of(result).item_id.tolist() == reference(request).item_id.tolist()


def test_the_same_items_are_found_and_only_their_order_is_another() -> None:
    world = WORLDS["two levels"]
    network, catalog = world.network(), world.catalog()
    ordered = TwoStageDecoder(network, catalog, neighbours=world.neighbours())
    alone = TwoStageDecoder(network, catalog)
    moved = 0
    for request in histories_of(world, 9, 8):
        one, other = result_of(ordered([request])[0]), result_of(alone([request])[0])
        assert sorted(one.item_id.tolist()) == sorted(other.item_id.tolist())
        moved += one.item_id.tolist() != other.item_id.tolist()
        told = {item: row.tolist() for item, row in zip(other.item_id.tolist(), other.iap_logprob, strict=True)}
        assert [told[item] for item in one.item_id.tolist()] == [row.tolist() for row in one.iap_logprob]
        assert np.all(np.diff(one.score) <= 0)
    assert moved


def test_a_model_that_wants_no_neighbours_asks_none() -> None:
    world = replace(WORLDS["two levels"], order=None)
    trie = Trie.of_catalog(world.catalog())
    assert NeighbourOrdering.of(world.neighbours(), world.config(), world.catalog(), trie) is None
    request = histories_of(world, 1)[0]
    lists = [
        result_of(TwoStageDecoder(world.network(), world.catalog(), neighbours=some)([request])[0])
        for some in (None, world.neighbours())
    ]
    assert lists[0].score.tolist() == lists[1].score.tolist()


def by_hand(order: NeighbourOrder) -> tuple[NeighbourOrdering, World, Catalog]:
    """Items 0..4; beside 0 stand 1 (3) and 2 (1), beside 1 stands 2 (2), and beside 3 one that is not there."""
    world = World(sizes=(5, 2), items=5, order=order)
    catalog = Catalog(
        item_id=np.arange(5),
        codes=np.array([[number, 0] for number in range(5)], np.int32),
        popularity=np.zeros(5, np.float32),
        level_sizes=(5, 2),
    )
    neighbours = Neighbours(
        np.array([0, 1, 3]), np.array([0, 2, 3, 4]), np.array([1, 2, 2, 99]), np.array([3, 1, 2, 9], np.float32)
    )
    made = NeighbourOrdering.of(neighbours, world.config(), catalog, Trie.of_catalog(catalog))
    assert made is not None
    return made, world, catalog


def test_gains_are_logarithms_of_shares() -> None:
    ordering, world, catalog = by_hand(NeighbourOrder(weight=2.0, floor=0.1, recency=0.5, returns=0.0))
    tokens = history_prompt(catalog, world.config(), [0, 1], [False, False])
    # 0 is one event older: it counts half.  1 has 1.5, 2 has .5 + 2, of 4 in all.
    shares = [0.0, 1.5 / 4, 2.5 / 4, 0.0]
    expected = [2.0 * math.log(share + 0.1) for share in shares]
    np.testing.assert_allclose(ordering.gains(tokens, np.array([0, 1, 2, 4])), expected)


def test_what_was_clicked_last_comes_back_and_what_was_shown_does_not() -> None:
    ordering, world, catalog = by_hand(NeighbourOrder(weight=1.0, floor=0.01, recency=1.0, returns=0.5))
    # 4 was clicked twice, last of all; 3 was shown between; 0 was clicked before.
    tokens = history_prompt(catalog, world.config(), [4, 0, 3, 4], [False, False, True, False])
    gains = ordering.gains(tokens, np.array([4, 3, 0, 1]))
    np.testing.assert_allclose(gains, np.log(np.array([0.5, 0.0, 0.5 * 0.7, 0.75]) + 0.01))


@pytest.mark.parametrize("rows", [[], [4], [2, 3]])
def test_a_history_that_says_nothing_changes_no_order(rows: list[int]) -> None:
    ordering, world, catalog = by_hand(NeighbourOrder(weight=1.0, floor=0.01, recency=1.0, returns=0.0))
    tokens = history_prompt(catalog, world.config(), rows, [False] * len(rows))
    assert len(set(ordering.gains(tokens, np.arange(5)).tolist())) == 1
    assert ordering.gains(tokens, np.zeros(0, np.int64)).tolist() == []


@settings(deadline=None)
@given(seed=st.integers(0, 200))
def test_gains_lie_between_the_floor_and_all_there_is(seed: int) -> None:
    world = replace(WORLDS["three levels"], seed=seed)
    catalog = world.catalog()
    trie = Trie.of_catalog(catalog)
    ordering = NeighbourOrdering.of(world.neighbours(), world.config(), catalog, trie)
    assert ordering is not None
    [request] = histories_of(world, seed, 1)
    gains = ordering.gains(request.tokens, np.arange(len(trie.sids)))
    least, most = ORDER.weight * math.log(ORDER.floor), ORDER.weight * math.log(1 + ORDER.floor)
    assert np.all((gains >= least - 1e-9) & (gains <= most + 1e-9))
    # In any order of asking the same.
    backwards = ordering.gains(request.tokens, np.arange(len(trie.sids))[::-1])
    np.testing.assert_array_equal(gains[::-1], backwards)
