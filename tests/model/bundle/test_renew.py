"""A bundle with other weights is the same bundle in everything else, and whole or not there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from contracts.errors import BadBundle
from contracts.manifest import MANIFEST_FILE, PopularList
from model.bundle.read import WEIGHTS_FILE, read_bundle
from model.bundle.renew import Renewal, renew_bundle
from model.bundle.write import write_bundle
from services.gateways.bundle_store.port import version_of

from .contents import NOW, contents, files_of, network, sign_again


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_bundle(contents(0), tmp_path / "source")
    return tmp_path / "source"


RENEWAL = Renewal(network(5), NOW, 1_763_769_600_000, {"learnt_samples": 7})


def test_everything_but_weights_and_manifest_is_taken_over_as_it_is(source: Path, tmp_path: Path) -> None:
    manifest = renew_bundle(source, RENEWAL, tmp_path / "new")
    before, after = files_of(source), files_of(tmp_path / "new")
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {WEIGHTS_FILE, MANIFEST_FILE}
    read, old = read_bundle(tmp_path / "new"), read_bundle(source)
    assert all(torch.equal(tensor, read.weights[name]) for name, tensor in network(5).state_dict().items())
    assert (read.manifest, read.catalog.version) == (manifest, old.catalog.version)
    assert manifest.model_version != old.manifest.model_version
    assert manifest.newest_interaction_ms == 1_763_769_600_000
    assert manifest.data == {**old.manifest.data, "learnt_samples": 7}
    # Another model's metrics are not this one's.
    assert manifest.metrics == {}


def test_fallback_lists_may_be_others(source: Path, tmp_path: Path) -> None:
    lists = PopularList(default=(55, 3), scenes={"home": (3,)})
    manifest = renew_bundle(source, dataclasses.replace(RENEWAL, popular=lists), tmp_path / "new")
    read = read_bundle(tmp_path / "new")
    assert read.popular == lists
    assert manifest.model_version == renew_bundle(source, RENEWAL, tmp_path / "same").model_version
    assert version_of(manifest) != version_of(read_bundle(tmp_path / "same").manifest)


def test_equal_weights_are_one_version_and_another_bundle_is_replaced_only_when_asked(
    source: Path, tmp_path: Path
) -> None:
    first = renew_bundle(source, RENEWAL, tmp_path / "new")
    with pytest.raises(BadBundle, match="exists already"):
        renew_bundle(source, RENEWAL, tmp_path / "new")
    assert renew_bundle(source, RENEWAL, tmp_path / "new", replace=True) == first


def test_a_damaged_source_or_a_foreign_network_gives_no_bundle(source: Path, tmp_path: Path) -> None:
    spoilt = network(5)
    with torch.no_grad():
        spoilt.rank_head.fc2.bias.fill_(torch.nan)
    with pytest.raises(BadBundle, match="not finite"):
        renew_bundle(source, dataclasses.replace(RENEWAL, network=spoilt), tmp_path / "new")
    (source / "features" / "words.json").write_bytes(b"{}")
    with pytest.raises(BadBundle, match=r"features/words\.json is damaged"):
        renew_bundle(source, RENEWAL, tmp_path / "new")
    sign_again(source, "features/words.json")
    renew_bundle(source, RENEWAL, tmp_path / "new")
    (source / "popular.json").unlink()
    with pytest.raises(BadBundle, match=r"popular\.json is missing"):
        renew_bundle(source, RENEWAL, tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "source"]
