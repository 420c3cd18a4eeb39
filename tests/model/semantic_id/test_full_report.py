"""The whole report: hit rates of both embeddings, and neighbourhoods that a person can read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from model.semantic_id.catalog import Catalog
from model.semantic_id.evidence import RelatedItems
from model.semantic_id.full_report import full_report
from model.semantic_id.hit_rate import hit_rates
from model.semantic_id.neighbourhoods import EXAMPLES, NEIGHBOURS, example_neighbourhoods
from model.semantic_id.residual_kmeans import ResidualKMeans

FEATURES_ND = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)
QUANTISER = ResidualKMeans.fit(FEATURES_ND, (4, 5), 0)
RELATED = RelatedItems.of_counts(sp.csr_matrix(np.eye(30, k=1) + np.eye(30, k=-1)), seed=0)


def catalog(items: int = 30, titled: int = 30) -> Catalog:
    return Catalog(
        item_id=np.arange(100, 100 + items),
        codes=QUANTISER.encode(FEATURES_ND[:items]),
        popularity=np.zeros(items, np.float32),
        level_sizes=(4, 5),
        title=tuple(f"Thing {row}" if row < titled else "" for row in range(items)),
    )


def test_both_embeddings_are_asked_for_every_relation() -> None:
    report = full_report(catalog(), QUANTISER, FEATURES_ND, {"train": RELATED})
    rates = report["embedding_hit_rate"]["train"]
    wanted = hit_rates(FEATURES_ND, RELATED, (10, 100))
    assert rates["input"] == {"@10": wanted[10], "@100": wanted[100]}
    decoded = hit_rates(QUANTISER.decode(catalog().codes), RELATED, (10,))
    assert (rates["dequantised"] or {})["@10"] == decoded[10]
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_what_is_not_known_is_left_open() -> None:
    report = full_report(catalog(), QUANTISER, None, {"train": RELATED})
    assert report["embedding_hit_rate"]["train"]["input"] is None
    bare = full_report(catalog(), None, None, {})
    assert (bare["embedding_hit_rate"], bare["neighbourhoods"], bare["items"]) == ({}, [], 30)
    assert full_report(catalog(0), QUANTISER, None, {})["neighbourhoods"] == []


def test_ten_neighbourhoods_by_title() -> None:
    decoded_ND = QUANTISER.decode(catalog().codes)
    found = example_neighbourhoods(catalog(), decoded_ND)
    assert len({around["item_id"] for around in found}) == EXAMPLES
    for around in found:
        assert around["title"] == f"Thing {around['item_id'] - 100}"
        assert len(around["neighbours"]) == NEIGHBOURS
        for other in around["neighbours"]:
            same = [one == two for one, two in zip(around["sid"], other["sid"], strict=True)]
            assert other["shared"] == [*same, False].index(False)
            assert other["item_id"] != around["item_id"]


@pytest.mark.parametrize("titled", [0, 4, 30])
def test_items_with_titles_come_first(titled: int) -> None:
    found = example_neighbourhoods(catalog(titled=titled), QUANTISER.decode(catalog().codes))
    assert sum(bool(around["title"]) for around in found) == min(titled, EXAMPLES)


def test_few_items_have_few_neighbours() -> None:
    found = example_neighbourhoods(catalog(3), QUANTISER.decode(catalog(3).codes))
    assert [len(around["neighbours"]) for around in found] == [2, 2, 2]
