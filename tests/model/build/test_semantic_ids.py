"""Semantic ids of a data set: from training rows alone, by either method, for every item that is wanted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.build.semantic_ids import chosen_items, gather_evidence, make_semantic_ids, popularity_of, related_items
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.new_items import NewItem
from model.data.synthetic import make_marketplace
from model.semantic_id.change_catalog import with_items
from model.semantic_id.settings import Method, RqVaeSettings, SidSettings
from model.semantic_id.trie import Trie

from .small import data_of

SHORT = RqVaeSettings(latent=8, hidden=16, steps=30, warm_up=10, batch=32)
SETTINGS = SidSettings(level_sizes=(16, 16), dims=16, rqvae=SHORT)
METHODS: tuple[Method, ...] = ("rkmeans", "rqvae")


def market() -> DataSet:
    return make_marketplace(users=40, items=80, seed=3)


@pytest.mark.parametrize("method", METHODS)
def test_every_item_is_reached_through_its_id_and_no_id_exceeds_the_cap(method: Method) -> None:
    sids = make_semantic_ids(market(), dataclasses.replace(SETTINGS, method=method)).sids
    trie = Trie.of_catalog(sids.catalog)
    assert sorted(trie.item_rows.tolist()) == list(range(80))
    assert np.diff(trie.item_start).max() == 1


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_are_held_out_change_no_id(method: Method) -> None:
    data = market()
    settings = dataclasses.replace(SETTINGS, method=method)
    kept = data.log.split == Split.TRAIN
    fields = ("user", "item", "behavior", "level", "timestamp", "session", "split", "scene", "device")
    log = dataclasses.replace(data.log, **{name: getattr(data.log, name)[kept] for name in fields})
    alone = make_semantic_ids(dataclasses.replace(data, log=log), settings).sids.catalog
    assert make_semantic_ids(data, settings).sids.catalog.version == alone.version


def test_last_codes_rank_what_shares_a_prefix_by_how_many_saw_it() -> None:
    data = market()
    settings = dataclasses.replace(SETTINGS, level_sizes=(8, 32), last_level="popularity")
    catalog = make_semantic_ids(data, settings).sids.catalog
    seen_N = popularity_of(data, catalog.item_id, Level.EXPOSURE)
    plain = make_semantic_ids(data, dataclasses.replace(SETTINGS, level_sizes=(8, 32))).sids.catalog
    np.testing.assert_array_equal(catalog.codes[:, 0], plain.codes[:, 0])
    for first in range(8):
        rows = np.flatnonzero(catalog.codes[:, 0] == first)
        ranked = rows[np.argsort(catalog.codes[rows, 1])]
        assert catalog.codes[ranked, 1].tolist() == list(range(len(rows)))
        assert (np.diff(seen_N[ranked]) <= 0).all()


def test_a_new_item_ranks_last_in_its_prefix() -> None:
    data = market()
    settings = dataclasses.replace(SETTINGS, level_sizes=(8, 64), last_level="popularity")
    sids = make_semantic_ids(data, settings).sids
    new = NewItem("here", 1_000_000, "", data.items.text[0])
    catalog = with_items(sids.catalog, sids.encoder, [new], settings.cap).catalog
    first, last = catalog.codes[catalog.rows_of([new.item_id])[0]]
    assert last == (sids.catalog.codes[:, 0] == first).sum()


def test_a_new_item_with_a_known_text_gets_codes_by_either_method() -> None:
    for method in METHODS:
        sids = make_semantic_ids(market(), dataclasses.replace(SETTINGS, method=method)).sids
        codes_KM = sids.encoder.codes_of(market().items.text[:5])
        assert ((codes_KM >= 0) & (codes_KM < 16)).all()


def test_only_seen_items_where_only_they_are_wanted() -> None:
    data = data_of(
        [("ann", 9, "click", "home"), ("bob", 5, "exposure", "home")],
        catalogue=(1, 2),
        test=[("ann", 7, "click", "home")],
    )
    assert chosen_items(data, SETTINGS).tolist() == [1, 2, 5, 7, 9]
    assert chosen_items(data, dataclasses.replace(SETTINGS, items="seen")).tolist() == [5, 9]
    assert chosen_items(data, dataclasses.replace(SETTINGS, most_items=1)).tolist() == [5]


def test_more_items_than_places_are_refused_before_any_work() -> None:
    with pytest.raises(BadDataSet, match=r"80 items do not fit 2x2 codes with at most 3 items on each \(12 places\)"):
        make_semantic_ids(market(), dataclasses.replace(SETTINGS, level_sizes=(2, 2), cap=3))


def test_related_items_are_counted_apart_in_training_and_in_validation() -> None:
    split = np.asarray([Split.TRAIN, Split.TRAIN, Split.VALID, Split.TEST], np.int8)
    data = data_of([("ann", item, "click", "home") for item in (1, 2, 3, 4)])
    data = dataclasses.replace(data, log=dataclasses.replace(data.log, split=split))
    found = related_items(data, SETTINGS, data.items.item_id)
    pairs = {
        name: [
            (int(query), int(other))
            for place, query in enumerate(related.query)
            for other in related.related[related.start[place] : related.start[place + 1]]
        ]
        for name, related in found.items()
    }
    assert pairs == {"train": [(0, 1), (1, 0)], "valid": [(0, 2), (1, 2), (2, 0), (2, 1)]}


def test_a_log_without_validation_has_training_relations_alone() -> None:
    data = data_of([("ann", item, "exposure", "home") for item in (1, 2)])
    assert related_items(data, SETTINGS, data.items.item_id) == {}
    shown = dataclasses.replace(SETTINGS, history_level=Level.EXPOSURE)
    assert related_items(data, shown, data.items.item_id).keys() == {"train"}


def test_the_evidence_holds_the_vectors_in_half_precision() -> None:
    made = make_semantic_ids(market(), SETTINGS)
    evidence = gather_evidence(market(), SETTINGS, made)
    np.testing.assert_allclose(evidence.vectors, made.features_ND, atol=1e-3)
    assert evidence.relations.keys() == {"train", "valid"}
