"""Without its rank head a bundle orders by log p alone; without the trie, lists are the valid part of a free search."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.progress import Silent
from model.build.build_bundle import BuildBundle
from model.build.recipe import NeighboursConfig
from model.build.source import Source
from model.bundle.read import Bundle, read_bundle
from model.data.timelines import held_out
from model.study.lists import WithoutTrie, method_of
from model.study.variants import Decoding, ablation

from .worlds import NOW, RECIPE, market

DATA = market()
USERS = list(held_out(DATA))[:6]
EVERYTHING = (8, 8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A trained bundle on forty items and 8 x 8 codes."""
    out = tmp_path_factory.mktemp("study") / "bundle"
    source = Source.of(DATA, preset="test", recipe=RECIPE, seed=0, release="1.2.3")
    BuildBundle(RECIPE, source, Silent(), NOW)(DATA, out)
    return read_bundle(out)


def test_a_silent_rank_head_leaves_the_order_to_log_p(bundle: Bundle) -> None:
    # With all of log p and next to nothing of log s the order is the same.
    silent = method_of(bundle, Decoding(EVERYTHING, iap_mix=1.0, rank_head=False), 10)(USERS)
    drowned = method_of(bundle, Decoding(EVERYTHING, iap_mix=1e5), 10)(USERS)
    for one, other in zip(silent, drowned, strict=True):
        assert one.item_R[:5].tolist() == other.item_R[:5].tolist()


def test_valid_ids_of_a_free_search_keep_the_order_that_the_trie_gives(bundle: Bundle) -> None:
    free = method_of(bundle, Decoding(EVERYTHING, iap_mix=1.0, rank_head=False, trie=False), 40)
    bound = method_of(bundle, Decoding(EVERYTHING, iap_mix=1.0, rank_head=False), 40)
    assert isinstance(free, WithoutTrie)
    for one, other in zip(free(USERS), bound(USERS), strict=True):
        ours = one.item_R.tolist()
        assert len(set(ours)) == len(ours)
        assert ours[:3] == other.item_R[:3].tolist()
    shares = free.invalid_share(USERS, 10)
    for user, share in zip(USERS, shares, strict=True):
        assert share == np.mean(free.invalid[user.user][:10])


def test_a_table_shows_the_model_alone_and_its_neighbours_in_a_row_of_their_own(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, neighbours=NeighboursConfig(method="cooccurrence", weight=20.0))
    source = Source.of(DATA, preset="test", recipe=recipe, seed=0, release="1.2.3")
    BuildBundle(recipe, source, Silent(), NOW)(DATA, tmp_path / "bundle")
    ordered = read_bundle(tmp_path / "bundle")
    variants = {variant.name: variant for variant in ablation(recipe)}
    assert [name for name, variant in variants.items() if variant.decoding.neighbours] == ["with_neighbours"]
    assert variants["with_neighbours"].bundle == "full"
    assert "with_neighbours" not in {variant.name for variant in ablation(RECIPE)}
    alone, beside = (method_of(ordered, variants[name].decoding, 10)(USERS) for name in ("full", "with_neighbours"))
    without = method_of(dataclasses.replace(ordered, neighbours=None), Decoding(), 10)(USERS)
    assert [one.item_R.tolist() for one in alone] == [one.item_R.tolist() for one in without]
    assert [one.item_R.tolist() for one in alone] != [one.item_R.tolist() for one in beside]
