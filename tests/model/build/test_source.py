"""A source tells equal builds from different ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.manifest import Manifest
from model.build.recipe import Recipe
from model.build.source import Source
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace

from .small import data_of

EVENTS = [("ann", 5, "click", "home"), ("ann", 7, "purchase", "search"), ("bob", 7, "click", "home")]
DATA = data_of(EVENTS)
RECIPE = Recipe()


def source_of(
    data: DataSet,
    preset: str = "tiny",
    recipe: Recipe = RECIPE,
    seed: int = 0,
    release: str = "1.2.3",
) -> Source:
    return Source.of(data, preset=preset, recipe=recipe, seed=seed, release=release)


def manifest_of(source: Source) -> Manifest:
    return Manifest(
        model_version="m", catalog_version="c", created_at="now", data=source.as_json(), metrics={}, files={}
    )


def test_a_manifest_that_was_written_and_read_knows_its_source() -> None:
    source = source_of(DATA)
    read = Manifest.model_validate_json(manifest_of(source).model_dump_json())
    assert source.made(read)
    assert source_of(data_of(EVENTS)).made(read)


def test_another_way_to_build_is_another_source() -> None:
    manifest = manifest_of(source_of(DATA))
    assert not source_of(DATA, seed=1).made(manifest)
    assert not source_of(DATA, preset="small").made(manifest)
    assert not source_of(DATA, recipe=Recipe(checkpoint_tokens=7)).made(manifest)
    assert not source_of(DATA, release="1.2.4").made(manifest)
    assert not source_of(DataSet("other", DATA.log, DATA.items)).made(manifest)


def changed(log_changes: dict[str, object], item_changes: dict[str, object]) -> DataSet:
    log = dataclasses.replace(DATA.log, **log_changes)  # type: ignore[arg-type]
    items = dataclasses.replace(DATA.items, **item_changes)  # type: ignore[arg-type]
    return DataSet(DATA.name, log, items)


@pytest.mark.parametrize(
    ("log_changes", "item_changes"),
    [
        ({"scene": np.array([1, 0, 0], np.int16)}, {}),
        ({"scenes": ("garden", "search")}, {}),
        ({"session": np.array([0, 0, 1])}, {}),
        ({"split": np.array([0, 1, 0], np.int8)}, {}),
        ({"timestamp": DATA.log.timestamp + 3600}, {}),
        ({"devices": ("mobile",), "device": np.zeros(3, np.int16)}, {}),
        ({}, {"title": ("Tea", "Cup")}),
        ({}, {"text": ("Thing 5T", "hing 7")}),
    ],
)
def test_whatever_a_build_reads_makes_another_source(
    log_changes: dict[str, object], item_changes: dict[str, object]
) -> None:
    assert source_of(changed(log_changes, item_changes)).sha256 != source_of(DATA).sha256


def test_the_fingerprint_is_that_of_the_data_not_of_its_name() -> None:
    one, other = (make_marketplace(users=20, items=40, seed=2) for _ in range(2))
    assert source_of(one) == source_of(other)
    assert source_of(one).sha256 == source_of(DataSet("elsewhere", other.log, other.items)).sha256
