"""A bundle knows how to give an item its codes that came after it was built."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import BadBundle
from model.build.catalogue import make_catalog
from model.build.recipe import Recipe, SemanticIdConfig
from model.build.semantic_ids import make_semantic_ids
from model.bundle.new_items import feature_files, read_new_item_encoder
from model.bundle.semantic_ids import SemanticIds
from model.bundle.write import write_bundle
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace
from model.semantic_id.settings import SidSettings

from .contents import change_json, contents, files_of, sign_again

ARRAYS, DESCRIPTION = "features/item_features.safetensors", "features/item_features.json"
RECIPE = Recipe(semantic_ids=SemanticIdConfig(feature_dims=16))


def market() -> DataSet:
    return make_marketplace(users=40, items=80, seed=3)


def write(made: SemanticIds, directory: Path) -> Path:
    """A bundle whose catalogue and weights are another's: only what new items need is of `made`."""
    files = feature_files(made.features)
    write_bundle(dataclasses.replace(contents(), features=files, quantiser=made.quantiser.to_arrays()), directory)
    return directory


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(make_catalog(market(), RECIPE, seed=0), tmp_path / "bundle")


def test_an_items_text_gives_the_codes_it_had_before_collisions_were_settled(bundle: Path) -> None:
    """Also its co-occurrence comes out of the text: that of the item with the very same one."""
    data = market()
    made = make_semantic_ids(data, SidSettings(level_sizes=(8, 8), cap=2, dims=16))
    directory = write(made.sids, bundle.with_name("other"))
    # An item that stands in a history beside no other has no co-occurrence of its own.
    seen = np.flatnonzero(made.features_ND[:, -made.sids.features.history_dims :].any(axis=1))
    texts = [data.items.text[row] for row in seen]
    assert len(seen) > 50
    assert len(set(texts)) == len(texts)
    codes_KM = read_new_item_encoder(directory).codes_of(texts)
    np.testing.assert_array_equal(codes_KM, made.sids.encoder.codes_of(texts))
    np.testing.assert_array_equal(codes_KM, made.sids.quantiser.encode(made.features_ND[seen]))
    # Whom no other item crowded out still has them.
    assert (codes_KM == made.sids.catalog.codes[seen]).all(axis=1).mean() > 0.5
    for text, codes_M in zip(texts[:9], codes_KM[:9].tolist(), strict=True):
        assert read_alone(directory, text) == codes_M


def read_alone(bundle: Path, text: str) -> list[int]:
    codes: list[int] = read_new_item_encoder(bundle).codes_of([text])[0].tolist()
    return codes


def test_two_builds_from_the_same_seed_are_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = write(make_catalog(market(), RECIPE, seed=0), tmp_path / "again")
    assert files_of(again) == files_of(bundle)


def test_a_bundle_of_items_without_texts_says_so(tmp_path: Path) -> None:
    data = market()
    blank = ("",) * len(data.items.item_id)
    silent = dataclasses.replace(data, items=dataclasses.replace(data.items, title=blank, text=blank))
    directory = write(make_catalog(silent, RECIPE, seed=0), tmp_path / "silent")
    assert json.loads((directory / DESCRIPTION).read_text())["text"] == "none"
    with pytest.raises(BadBundle, match="items without texts") as caught:
        read_new_item_encoder(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "value", "complaint"),
    [
        ("text", "sentences-7", "text: Input should be"),
        ("text_weight", 2.0, "text_weight: "),
        ("more", 1, "more: "),
        ("history_dims", 3, "fit neither"),
        ("text_dims", 3, "fit neither"),
        ("facets", ["one"], "categories|lack facets"),
        ("neighbours", 0, "unknown neighbours.history, neighbours.text"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(bundle: Path, entry: str, value: object, complaint: str) -> None:
    change_json(bundle / DESCRIPTION, lambda content: content.update({entry: value}))
    sign_again(bundle, DESCRIPTION)
    with pytest.raises(BadBundle, match=complaint) as caught:
        read_new_item_encoder(bundle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [ARRAYS, DESCRIPTION, "quantiser.safetensors"])
def test_damage_is_found_through_the_manifest(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"{}")
    with pytest.raises(BadBundle, match="damaged"):
        read_new_item_encoder(bundle)
    sign_again(bundle, name)
    with pytest.raises(BadBundle):
        read_new_item_encoder(bundle)


def test_a_bundle_without_the_files_is_refused(written: Path) -> None:
    with pytest.raises(BadBundle, match=r"the manifest lists no features/item_features\.json"):
        read_new_item_encoder(written)


def test_reading_needs_no_torch() -> None:
    code = "import sys, model.bundle.new_items; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
