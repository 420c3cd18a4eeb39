"""The embedding hit rate against a brute force, and its evidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadBundle
from model.semantic_id import hit_rate
from model.semantic_id.evidence import Evidence, RelatedItems
from model.semantic_id.hit_rate import hit_rates, nearest_by_cosine

Rows = npt.NDArray[np.float32]


def some_vectors(items: int = 40, dims: int = 5, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((items, dims)).astype(np.float32)


def some_related(items: int = 40, seed: int = 1) -> RelatedItems:
    chance = np.random.default_rng(seed)
    pairs = np.triu(chance.random((items, items)) < 0.1, k=1)
    return RelatedItems.of_counts(sp.csr_matrix((pairs | pairs.T).astype(np.float64)), seed=0)


def naive_hit_rate(vectors_ND: Rows, related: RelatedItems, k: int) -> float:
    unit = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    shares = []
    for place, query in enumerate(related.query.tolist()):
        others = [row for row in range(len(unit)) if row != query]
        likeness = {row: float(unit[query] @ unit[row]) for row in others}
        near = set(sorted(others, key=lambda row: (-likeness[row], row))[:k])
        wanted = set(related.related[related.start[place] : related.start[place + 1]].tolist())
        shares.append(len(near & wanted) / len(wanted))
    return float(np.mean(shares))


@pytest.mark.parametrize("at_once", [2**24, 90])
def test_it_is_the_mean_share_of_related_items_among_the_nearest(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_rate, "LIKENESSES_AT_ONCE", at_once)
    vectors_ND, related = some_vectors(), some_related()
    found = hit_rates(vectors_ND, related, (1, 5, 100))
    assert found[1] == pytest.approx(naive_hit_rate(vectors_ND, related, 1))
    assert found[5] == pytest.approx(naive_hit_rate(vectors_ND, related, 5))
    assert found[100] == 1.0


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 99))
def test_among_equals_the_lower_row_is_nearer(items: int, most: int, seed: int) -> None:
    # Few distinct rows: ties everywhere.
    unit_ND = np.eye(3, dtype=np.float32)[np.random.default_rng(seed).integers(0, 3, items)]
    query = np.arange(items)
    found = nearest_by_cosine(unit_ND, query, most)
    for row in range(items):
        others = [other for other in range(items) if other != row]
        wanted = sorted(others, key=lambda other: (-float(unit_ND[row] @ unit_ND[other]), other))[:most]
        assert found[row].tolist() == wanted


def test_nobody_asked_is_no_hit() -> None:
    nobody = RelatedItems.of_counts(sp.csr_matrix((3, 3), dtype=np.float64), seed=0)
    assert hit_rates(some_vectors(3), nobody, (10,)) == {10: 0.0}


def test_a_sample_of_queries_is_drawn_by_seed_and_keeps_all_their_relations() -> None:
    counts = sp.csr_matrix(np.ones((30, 30)) - np.eye(30))
    one, again, other = (RelatedItems.of_counts(counts, seed, most=7) for seed in (0, 0, 1))
    assert len(one) == 7
    np.testing.assert_array_equal(one.query, again.query)
    assert one.query.tolist() != other.query.tolist()
    assert one.query.tolist() == sorted(one.query.tolist())
    assert np.diff(one.start).tolist() == [29] * 7


def some_evidence() -> Evidence:
    return Evidence(some_vectors().astype(np.float16), {"train": some_related(), "valid": some_related(seed=2)})


def test_evidence_goes_through_named_arrays() -> None:
    again = Evidence.from_arrays(some_evidence().to_arrays())
    np.testing.assert_array_equal(again.vectors, some_evidence().vectors)
    assert set(again.relations) == {"train", "valid"}
    np.testing.assert_array_equal(again.relations["valid"].start, some_evidence().relations["valid"].start)


ARRAYS = some_evidence().to_arrays()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vectors": np.zeros(3, np.float16)}, "finite table"),
        ({"vectors": np.full((40, 5), np.nan, np.float16)}, "finite table"),
        ({"train.related": ARRAYS["train.related"] + 40}, "train relations do not fit 40 items"),
        ({"train.start": ARRAYS["train.start"][:-1]}, "train relations do not fit"),
        ({"other.start": ARRAYS["train.start"]}, "lacks other.query"),
    ],
)
def test_damaged_evidence_is_refused(changes: dict[str, npt.NDArray[np.generic]], complaint: str) -> None:
    with pytest.raises(BadBundle, match=complaint):
        Evidence.from_arrays(ARRAYS | changes)
    with pytest.raises(BadBundle, match="lacks vectors"):
        Evidence.from_arrays({})
