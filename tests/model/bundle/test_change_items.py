"""A bundle whose catalogue items joined or left is whole, keeps its weights, and lists only what it has."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import BadBundle, NothingToRecommend
from model.bundle.change_items import AddItems, ChangeCatalog, RetireItems, changed_catalog, write_with_catalog
from model.bundle.read import read_bundle
from model.bundle.write import write_bundle
from model.data.new_items import NewItem

from .contents import contents, files_of
from .growing import ITEMS, market, write_growing

LATER = datetime(2026, 2, 1, tzinfo=UTC)
FRESH = ("catalog.parquet", "manifest.json", "popular.json")


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    return write_growing(tmp_path / "growing")


def change(directory: Path, what: ChangeCatalog, out: Path) -> Path:
    write_with_catalog(directory, changed_catalog(directory, what).catalog, out, LATER)
    return out


def twin(item_id: int = 5, row: int = 0) -> NewItem:
    return NewItem("line 1", item_id, "Twin", market().items.text[row])


def test_the_new_bundle_has_the_same_weights_and_one_more_item(growing: Path, tmp_path: Path) -> None:
    before, was = read_bundle(growing), files_of(growing)
    made = change(growing, AddItems([twin()]), tmp_path / "made")
    assert files_of(growing) == was
    now = files_of(made)
    assert {name for name in was if was[name] != now[name]} <= set(FRESH)
    assert set(now) == set(was)
    after = read_bundle(made)
    assert after.manifest.model_version == before.manifest.model_version
    assert after.manifest.catalog_version == after.catalog.version != before.manifest.catalog_version
    assert after.manifest.created_at == "2026-02-01T00:00:00+00:00"
    assert (len(after.catalog), after.catalog.title_of(5)) == (ITEMS + 1, "Twin")
    assert after.popular == before.popular
    # And it takes more.
    assert len(read_bundle(change(made, AddItems([twin(6)]), tmp_path / "more")).catalog) == ITEMS + 2


def test_adding_and_retiring_leads_back_to_the_same_bytes(growing: Path, tmp_path: Path) -> None:
    added = change(growing, AddItems([twin()]), tmp_path / "added")
    back = change(added, RetireItems([5]), tmp_path / "back")
    assert read_bundle(back).manifest.catalog_version == read_bundle(growing).manifest.catalog_version
    was, now = files_of(growing), files_of(back)
    assert [name for name in was if was[name] != now[name] and name not in FRESH] == []


def test_popular_lists_lose_who_retires(growing: Path, tmp_path: Path) -> None:
    first = read_bundle(growing).catalog.item_id.tolist()
    popular = read_bundle(change(growing, RetireItems(first[:2]), tmp_path / "some")).popular
    # The scene whose only item retires gets `default` from now on.
    assert popular.default == tuple(first[2:4])
    assert popular.scenes == {"home": tuple(first[2:4])}
    after = read_bundle(change(growing, RetireItems(first[:4]), tmp_path / "all"))
    order = np.lexsort((after.catalog.item_id, -after.catalog.popularity))[:4]
    assert after.popular.default == tuple(after.catalog.item_id[order].tolist())
    assert after.popular.scenes == {}


def test_nobody_left_is_refused(growing: Path) -> None:
    everybody = read_bundle(growing).catalog.item_id.tolist()
    with pytest.raises(NothingToRecommend, match="no item left"):
        changed_catalog(growing, RetireItems(everybody))
    assert changed_catalog(growing, RetireItems(everybody[1:])).catalog.item_id.tolist() == everybody[:1]


def test_a_bundle_that_takes_no_new_items_says_so(tmp_path: Path) -> None:
    write_bundle(contents(), tmp_path / "plain")
    with pytest.raises(BadBundle, match=r"lists no features/item_features\.json"):
        changed_catalog(tmp_path / "plain", AddItems([twin()]))
    # To retire takes no features.
    assert len(changed_catalog(tmp_path / "plain", RetireItems([3, 3])).catalog) == 7


def test_a_quantiser_of_other_levels_is_refused(growing: Path, tmp_path: Path) -> None:
    other = dataclasses.replace(
        contents(),
        quantiser={f"centroids.{level}": np.zeros((size, 16), np.float32) for level, size in ((1, 4), (2, 5))},
        features={
            name.removeprefix("features/"): content
            for name, content in files_of(growing).items()
            if name.startswith("features/")
        },
    )
    write_bundle(other, tmp_path / "other")
    with pytest.raises(BadBundle, match="other levels than the catalogue"):
        changed_catalog(tmp_path / "other", AddItems([twin()]))


def test_a_damaged_bundle_is_no_beginning(growing: Path, tmp_path: Path) -> None:
    popular = json.loads((growing / "popular.json").read_text())
    (growing / "popular.json").write_text(json.dumps(popular | {"default": []}))
    with pytest.raises(BadBundle, match=r"popular\.json is damaged"):
        change(growing, RetireItems([popular["default"][0]]), tmp_path / "made")
    assert not (tmp_path / "made").exists()
