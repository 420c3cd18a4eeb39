"""A bundle is written whole or not at all, and never over anything else."""

from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.errors import BadBundle
from model.bundle.read import read_bundle
from model.bundle.write import write_bundle

from .contents import NOW, catalog, contents, files_of, with_weight


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_an_existing_bundle_stays_unless_its_replacement_is_asked_for(bundle: Path) -> None:
    before = files_of(bundle)
    with pytest.raises(BadBundle, match="exists already"):
        write_bundle(contents(1), bundle)
    assert files_of(bundle) == before
    assert names(bundle.parent) == {bundle.name}


def test_a_replacement_leaves_nothing_of_the_old_bundle(bundle: Path) -> None:
    (bundle / "stray.txt").write_text("put here by hand")
    manifest = write_bundle(contents(1), bundle, replace=True)
    assert read_bundle(bundle).manifest == manifest
    assert not (bundle / "stray.txt").exists()
    assert names(bundle.parent) == {bundle.name}


def test_a_damaged_bundle_may_be_replaced(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()
    write_bundle(contents(), bundle, replace=True)
    read_bundle(bundle)


def test_a_replacement_goes_where_a_link_leads(bundle: Path) -> None:
    link = bundle.parent / "current"
    link.symlink_to(bundle.name)
    manifest = write_bundle(contents(1), link, replace=True)
    assert link.is_symlink()
    assert read_bundle(bundle).manifest == manifest
    assert names(bundle.parent) == {bundle.name, "current"}


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_bundle_is_never_removed(tmp_path: Path, replace: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(BadBundle):
        write_bundle(contents(), home, replace=replace)
    assert files_of(tmp_path) == {"home/thesis.txt": b"years of work"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_is_never_removed(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BadBundle):
        write_bundle(contents(), tmp_path / "notes", replace=replace)
    assert files_of(tmp_path) == {"notes": b"mine"}


def test_an_empty_directory_may_be_filled_when_asked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BadBundle, match="exists already"):
        write_bundle(contents(), tmp_path / "out")
    write_bundle(contents(), tmp_path / "out", replace=True)
    read_bundle(tmp_path / "out")


def test_directories_above_are_made(tmp_path: Path) -> None:
    write_bundle(contents(), tmp_path / "a" / "b" / "out")
    read_bundle(tmp_path / "a" / "b" / "out")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_does_not_verify_leaves_nothing_behind(tmp_path: Path, value: float) -> None:
    spoilt = with_weight(contents(), "model.norm.weight", value)
    with pytest.raises(BadBundle, match=r"model\.norm\.weight holds values that are not finite"):
        write_bundle(spoilt, tmp_path / "out")
    assert not names(tmp_path)


def test_a_replacement_that_does_not_verify_leaves_the_old_bundle_as_it_was(bundle: Path) -> None:
    before = files_of(bundle.parent)
    with pytest.raises(BadBundle):
        write_bundle(with_weight(contents(), "rank_head.fc1.bias", math.nan), bundle, replace=True)
    assert files_of(bundle.parent) == before


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    # A name below a directory that nobody makes: the write fails half-way.
    impossible = dataclasses.replace(contents(), features={"no/such/place": b""})
    with pytest.raises(OSError, match="no/such/place"):
        write_bundle(impossible, tmp_path / "out")
    assert not names(tmp_path)


def test_equal_contents_are_equal_files_and_versions(tmp_path: Path) -> None:
    one, other = (write_bundle(contents(), tmp_path / name) for name in ("one", "other"))
    assert one == other
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_the_model_version_follows_weights_and_configuration_alone(tmp_path: Path) -> None:
    base = contents()
    bias = float(base.network.rank_head.fc2.bias.detach()[0])
    config = base.network.config
    mixed = config.rankgr.decode.model_copy(update={"iap_mix": 0.25})
    reconfigured = contents()
    reconfigured.network.config = config.model_copy(
        update={"rankgr": config.rankgr.model_copy(update={"decode": mixed})}
    )
    variants = {
        "base": base,
        "later": dataclasses.replace(base, created_at=NOW + timedelta(days=1), metrics={}, data={"name": "other"}),
        "items": dataclasses.replace(base, catalog=catalog(popularity=2.0)),
        "weights": with_weight(base, "rank_head.fc2.bias", bias + 1e-6),
        "config": reconfigured,
    }
    made = {name: write_bundle(each, tmp_path / name) for name, each in variants.items()}
    model, items = (
        {name: manifest.model_version for name, manifest in made.items()},
        {name: manifest.catalog_version for name, manifest in made.items()},
    )
    assert model["later"] == model["items"] == model["base"]
    assert len({model["base"], model["weights"], model["config"]}) == 3
    assert items["items"] != items["base"] == items["weights"] == items["later"]
