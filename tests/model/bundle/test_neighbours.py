"""Neighbours travel with a bundle: read back, taken over by new weights and new catalogues, part of the version."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contracts.errors import BadBundle
from model.build.neighbours import ordered_by
from model.bundle.change_items import RetireItems, changed_catalog, write_with_catalog
from model.bundle.neighbours import NEIGHBOURS_FILE
from model.bundle.read import read_bundle
from model.bundle.renew import Renewal, renew_bundle
from model.bundle.write import BundleContents, write_bundle
from model.network.config import NeighbourOrder
from services.engine.vllm_plugin.worker_bundle import read_worker_bundle

from ..decoding.small_worlds import random_neighbours
from .contents import NOW, change_json, contents, files_of, network, sign_again

ORDER = NeighbourOrder(weight=3.0, floor=0.01, recency=0.7, returns=0.0)


def with_neighbours(seed: int = 0) -> BundleContents:
    made = contents()
    made.network.config = ordered_by(made.network.config, ORDER)
    return dataclasses.replace(made, neighbours=random_neighbours(made.catalog, seed))


@pytest.fixture
def ordered(tmp_path: Path) -> Path:
    write_bundle(with_neighbours(), tmp_path / "ordered")
    return tmp_path / "ordered"


def test_engine_and_worker_read_the_same(ordered: Path) -> None:
    read, worker = read_bundle(ordered), read_worker_bundle(ordered)
    assert read.config.decode.neighbours == worker.config.decode.neighbours == ORDER
    assert read.neighbours is not None
    assert worker.neighbours is not None
    assert read.neighbours.to_item.tolist() == worker.neighbours.to_item.tolist()
    assert read.neighbours.says.tolist() == with_neighbours().neighbours.says.tolist()  # type: ignore[union-attr]


def test_a_bundle_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    write_bundle(contents(), tmp_path / "plain")
    assert read_bundle(tmp_path / "plain").neighbours is None
    assert b"neighbours" not in (tmp_path / "plain" / "config.json").read_bytes()
    assert NEIGHBOURS_FILE not in files_of(tmp_path / "plain")


def test_other_neighbours_are_another_model_version(ordered: Path, tmp_path: Path) -> None:
    other = write_bundle(with_neighbours(1), tmp_path / "other")
    plain = write_bundle(contents(), tmp_path / "plain")
    versions = {read_bundle(ordered).manifest.model_version, other.model_version, plain.model_version}
    assert len(versions) == 3


def test_new_weights_and_a_new_catalogue_keep_them(ordered: Path, tmp_path: Path) -> None:
    before = read_bundle(ordered).manifest.files[NEIGHBOURS_FILE]
    fresh = network(5)
    fresh.config = ordered_by(fresh.config, ORDER)
    renewed = renew_bundle(ordered, Renewal(fresh, NOW, None, {}), tmp_path / "renewed")
    changed = changed_catalog(ordered, RetireItems([55]))
    smaller = write_with_catalog(ordered, changed.catalog, tmp_path / "smaller", NOW)
    assert renewed.files[NEIGHBOURS_FILE] == smaller.files[NEIGHBOURS_FILE] == before
    assert renewed.model_version != read_bundle(ordered).manifest.model_version == smaller.model_version
    assert read_bundle(tmp_path / "smaller").neighbours is not None


def test_a_configuration_that_orders_by_neighbours_which_are_not_there(ordered: Path) -> None:
    (ordered / NEIGHBOURS_FILE).unlink()
    change_json(ordered / "manifest.json", lambda told: told["files"].pop(NEIGHBOURS_FILE))  # type: ignore[attr-defined]
    for read in (read_bundle, read_worker_bundle):
        with pytest.raises(BadBundle, match=f"the manifest lists no {NEIGHBOURS_FILE}"):
            read(ordered)


def test_a_damaged_file_is_one_line(ordered: Path) -> None:
    (ordered / NEIGHBOURS_FILE).write_bytes(b"nothing of the kind")
    sign_again(ordered, NEIGHBOURS_FILE)
    with pytest.raises(BadBundle, match="no safetensors file"):
        read_bundle(ordered)
