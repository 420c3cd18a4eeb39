"""Settling collisions: every item has a place, no place too many, and nobody moves without need."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadDataSet
from model.semantic_id.collisions import settle_collisions


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """Items on codes that need not be their nearest ones: settling must not rely on it."""

    codes_NM: npt.NDArray[np.int32]
    features_ND: npt.NDArray[np.float32]
    centroids: tuple[npt.NDArray[np.float32], ...]
    popularity_N: npt.NDArray[np.float32]
    cap: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(rows) for rows in self.centroids)

    def settle(self) -> npt.NDArray[np.int32]:
        return settle_collisions(self.codes_NM, self.features_ND, self.centroids, self.popularity_N, self.cap)


def make_crowd(items: int, sizes: tuple[int, ...], cap: int, seed: int, skew: float = 3.0) -> Crowd:
    chance = np.random.default_rng(seed)
    codes_NM = np.column_stack([(size * chance.random(items) ** skew).astype(np.int32) for size in sizes])
    return Crowd(
        codes_NM=codes_NM.astype(np.int32),
        features_ND=chance.standard_normal((items, 3)).astype(np.float32),
        centroids=tuple(chance.standard_normal((size, 3)).astype(np.float32) for size in sizes),
        popularity_N=chance.integers(0, 4, items).astype(np.float32),
        cap=cap,
    )


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    cap = draw(st.integers(1, 3))
    # Up to completely full, so that whole prefixes overflow.
    items = draw(st.integers(0, prod(sizes) * cap))
    return make_crowd(items, sizes, cap, draw(st.integers(0, 999)), draw(st.sampled_from([1.0, 3.0, 9.0])))


def keepers(crowd: Crowd) -> set[int]:
    """Rows that did not overflow: the `cap` most popular of each id, the lower row among equals."""
    kept: set[int] = set()
    held: Counter[tuple[int, ...]] = Counter()
    for row in sorted(range(len(crowd.codes_NM)), key=lambda row: (-crowd.popularity_N[row], row)):
        sid = tuple(crowd.codes_NM[row].tolist())
        held[sid] += 1
        if held[sid] <= crowd.cap:
            kept.add(row)
    return kept


@given(crowds())
def test_every_item_has_a_place_and_no_place_holds_more_than_the_cap(crowd: Crowd) -> None:
    settled_NM = crowd.settle()
    assert settled_NM.shape == crowd.codes_NM.shape
    assert settled_NM.dtype == np.int32
    assert ((settled_NM >= 0) & (settled_NM < np.asarray(crowd.sizes))).all()
    held = Counter(map(tuple, settled_NM.tolist()))
    assert sum(held.values()) == len(crowd.codes_NM)
    assert max(held.values(), default=0) <= crowd.cap


@given(crowds())
def test_items_that_did_not_overflow_keep_their_codes(crowd: Crowd) -> None:
    settled_NM = crowd.settle()
    for row in keepers(crowd):
        assert settled_NM[row].tolist() == crowd.codes_NM[row].tolist()


@given(crowds())
def test_an_item_leaves_a_prefix_only_when_that_is_full(crowd: Crowd) -> None:
    settled_NM = crowd.settle()
    for row, (before, after) in enumerate(zip(crowd.codes_NM.tolist(), settled_NM.tolist(), strict=True)):
        for level in range(1, len(crowd.sizes)):
            if before[:level] != after[:level]:
                inside = (settled_NM[:, :level] == before[:level]).all(axis=1).sum()
                assert inside == prod(crowd.sizes[level:]) * crowd.cap, row
                break


@given(crowds())
def test_the_same_crowd_settles_the_same_way_and_the_input_is_left_alone(crowd: Crowd) -> None:
    before = crowd.codes_NM.copy()
    np.testing.assert_array_equal(crowd.settle(), crowd.settle())
    np.testing.assert_array_equal(crowd.codes_NM, before)


def naive_settle(crowd: Crowd) -> list[list[int]]:
    """Two levels or fewer, enough room in every prefix: one greedy pass in order of popularity."""
    kept = keepers(crowd)
    settled: list[list[int]] = crowd.codes_NM.tolist()
    held = Counter(tuple(settled[row]) for row in kept)
    waiting = [row for row in range(len(settled)) if row not in kept]
    for row in sorted(waiting, key=lambda row: (-crowd.popularity_N[row], row)):
        rest = crowd.features_ND[row].copy()
        for level, code in enumerate(settled[row][:-1]):
            rest -= crowd.centroids[level][code]
        near = np.argsort(((crowd.centroids[-1] - rest) ** 2).sum(axis=1), kind="stable")
        code = next(code for code in near.tolist() if held[(*settled[row][:-1], code)] < crowd.cap)
        settled[row][-1] = code
        held[tuple(settled[row])] += 1
    return settled


@pytest.mark.parametrize("sizes", [(40,), (3, 40), (2, 2, 40)])
@pytest.mark.parametrize("seed", range(5))
def test_with_room_in_every_prefix_it_is_the_plain_greedy_pass(sizes: tuple[int, ...], seed: int) -> None:
    crowd = make_crowd(38, sizes, 1, seed, skew=6.0)
    assert crowd.settle().tolist() == naive_settle(crowd)


def test_the_most_popular_stay() -> None:
    crowd = Crowd(
        codes_NM=np.zeros((4, 1), np.int32),
        features_ND=np.zeros((4, 1), np.float32),
        centroids=(np.asarray([[0.0], [1.0], [2.0]], np.float32),),
        popularity_N=np.asarray([1, 9, 9, 5], np.float32),
        cap=2,
    )
    assert crowd.settle().reshape(-1).tolist() == [1, 0, 0, 1]


def test_from_a_full_prefix_an_item_goes_to_the_nearest_other_one() -> None:
    crowd = Crowd(
        codes_NM=np.zeros((3, 2), np.int32),
        features_ND=np.asarray([[0.0], [0.0], [0.2]], np.float32),
        centroids=(np.asarray([[0.0], [5.0], [1.0]], np.float32), np.asarray([[0.0], [-1.0]], np.float32)),
        popularity_N=np.asarray([3, 2, 1], np.float32),
        cap=1,
    )
    assert crowd.settle().tolist() == [[0, 0], [0, 1], [2, 1]]


def test_more_items_than_places_are_refused_with_the_numbers() -> None:
    with pytest.raises(BadDataSet, match=r"13 items do not fit 2x3 codes with at most 2 items .* \(12 places\)"):
        make_crowd(13, (2, 3), 2, 0).settle()


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(BadDataSet, match="at most 0 items"):
        make_crowd(1, (2, 3), 0, 0).settle()
