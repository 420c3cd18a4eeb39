"""The quantiser: nearest centroids level by level, repeatable, and never surprised by its input."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import BadBundle, BadDataSet
from model.semantic_id import residual_kmeans
from model.semantic_id.nearest import nearest
from model.semantic_id.residual_kmeans import ResidualKMeans


def some_features(items: int = 300, dims: int = 6, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((items, dims)).astype(np.float32)


def naive_codes(quantiser: ResidualKMeans, row_D: npt.NDArray[np.float32]) -> list[int]:
    codes = []
    for centroid_VD in quantiser.centroids:
        distances = [float(((row_D - centroid) ** 2).sum()) for centroid in centroid_VD]
        codes.append(distances.index(min(distances)))
        row_D = row_D - centroid_VD[codes[-1]]
    return codes


def test_codes_are_the_nearest_centroids_of_what_the_levels_before_left() -> None:
    features_ND = some_features()
    quantiser = ResidualKMeans.fit(features_ND, (8, 5, 4), seed=0)
    codes_NM = quantiser.encode(features_ND)
    assert codes_NM.dtype == np.int32
    assert codes_NM.tolist() == [naive_codes(quantiser, row_D) for row_D in features_ND]


def test_searching_in_pieces_finds_the_same_centroids() -> None:
    features_ND, centroid_VD = some_features(), some_features(8, seed=1)
    whole = nearest(features_ND, centroid_VD)
    np.testing.assert_array_equal(nearest(features_ND, centroid_VD, distances_at_once=8 * 7), whole)


def test_each_level_explains_more() -> None:
    features_ND = some_features()
    quantiser = ResidualKMeans.fit(features_ND, (8, 8), seed=0)
    codes_NM = quantiser.encode(features_ND)
    first = features_ND - quantiser.centroids[0][codes_NM[:, 0]]
    second = first - quantiser.centroids[1][codes_NM[:, 1]]
    assert (features_ND**2).sum() > (first**2).sum() > (second**2).sum()


def test_well_separated_groups_get_a_code_each() -> None:
    centre_VD = np.eye(4, 8, dtype=np.float32) * 10
    group_N = np.repeat(np.arange(4), 30)
    features_ND = centre_VD[group_N] + 0.1 * some_features(120, 8)
    codes_NM = ResidualKMeans.fit(features_ND, (4, 4), seed=0).encode(features_ND)
    assert len({(group, code) for group, code in zip(group_N.tolist(), codes_NM[:, 0].tolist(), strict=True)}) == 4


def test_a_ranked_level_leaves_the_codes_before_as_they_are_and_begins_at_code_0() -> None:
    features_ND = some_features()
    plain = ResidualKMeans.fit(features_ND, (8, 5), seed=0)
    ranked = plain.ranked(7)
    assert ranked.level_sizes == (8, 5, 7)
    codes_NM = ranked.encode(features_ND)
    np.testing.assert_array_equal(codes_NM[:, :2], plain.encode(features_ND))
    assert not codes_NM[:, 2].any()
    np.testing.assert_array_equal(ranked.decode(codes_NM), plain.decode(codes_NM[:, :2]))


@pytest.mark.parametrize("most_full", [10_000, 100], ids=["full", "mini-batches"])
def test_the_same_seed_gives_the_same_centroids(most_full: int) -> None:
    features_ND = some_features()
    one, again, other = (ResidualKMeans.fit(features_ND, (8, 8), seed, most_for_full=most_full) for seed in (1, 1, 2))
    for level in range(2):
        np.testing.assert_array_equal(one.centroids[level], again.centroids[level])
    assert (one.centroids[0] != other.centroids[0]).any()


@pytest.mark.parametrize("spread", [4, 4096], ids=["chance", "k-means++"])
def test_mini_batches_explain_about_what_full_k_means_explains(spread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residual_kmeans, "MOST_CODES_TO_SPREAD", spread)
    features_ND = some_features(3000) + 4 * np.eye(6, dtype=np.float32)[np.arange(3000) % 6]

    def lost(most_for_full: int) -> float:
        quantiser = ResidualKMeans.fit(features_ND, (16, 16), seed=0, most_for_full=most_for_full)
        return float(np.square(features_ND - quantiser.decode(quantiser.encode(features_ND))).sum())

    assert lost(100) < 1.15 * lost(3000)


@pytest.mark.parametrize("items", [1, 3, 8, 9])
def test_more_codes_than_items_give_every_item_a_code_of_its_own(items: int) -> None:
    features_ND = some_features(items)
    quantiser = ResidualKMeans.fit(features_ND, (9, 4), seed=0)
    assert quantiser.level_sizes == (9, 4)
    assert len(np.unique(quantiser.encode(features_ND)[:, 0])) == items


def test_items_that_are_all_alike_are_clustered_without_complaint() -> None:
    features_ND = np.ones((50, 3), np.float32)
    quantiser = ResidualKMeans.fit(features_ND, (4, 4), seed=0)
    assert quantiser.level_sizes == (4, 4)
    assert len(np.unique(quantiser.encode(features_ND), axis=0)) == 1


def test_a_level_of_one_code_is_legal() -> None:
    features_ND = some_features(40)
    codes_NM = ResidualKMeans.fit(features_ND, (1, 4), seed=0).encode(features_ND)
    assert set(codes_NM[:, 0].tolist()) == {0}


def test_features_that_are_not_finite_are_refused_with_their_number() -> None:
    features_ND = some_features(20)
    quantiser = ResidualKMeans.fit(features_ND, (4,), seed=0)
    features_ND[3, 1], features_ND[7, :], features_ND[9, 0] = np.nan, np.nan, np.inf
    with pytest.raises(BadDataSet, match="3 of 20 items have features that are not finite"):
        ResidualKMeans.fit(features_ND, (4,), seed=0)
    with pytest.raises(BadDataSet, match="3 of 20 items"):
        quantiser.encode(features_ND)


@pytest.mark.parametrize("sizes", [(), (4, 0)])
def test_a_level_without_codes_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(BadDataSet, match="at least one code"):
        ResidualKMeans.fit(some_features(5), sizes, seed=0)


def test_no_items_are_refused() -> None:
    with pytest.raises(BadDataSet, match="no items"):
        ResidualKMeans.fit(some_features(0), (4,), seed=0)


def test_the_state_goes_through_named_arrays() -> None:
    quantiser = ResidualKMeans.fit(some_features(50), (8, 4), seed=0)
    arrays = quantiser.to_arrays()
    assert {name: rows.shape for name, rows in arrays.items()} == {
        "centroids.1": (8, 6),
        "centroids.2": (4, 6),
    }
    again = ResidualKMeans.from_arrays(arrays)
    np.testing.assert_array_equal(again.encode(some_features(9)), quantiser.encode(some_features(9)))


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({}, "not centroids.1"),
        ({"centroids.2": np.zeros((2, 3))}, "not centroids.1"),
        ({"centroids.1": np.zeros(3)}, "differ in their dimensions"),
        ({"centroids.1": np.zeros((2, 3)), "centroids.2": np.zeros((2, 4))}, "differ in their dimensions"),
        ({"centroids.1": np.full((2, 3), np.nan)}, "not finite"),
    ],
)
def test_damaged_state_is_refused(arrays: dict[str, npt.NDArray[np.float64]], complaint: str) -> None:
    with pytest.raises(BadBundle, match=complaint):
        ResidualKMeans.from_arrays(arrays)
