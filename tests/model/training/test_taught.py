"""What a bundle says of its training comes back as it was said, and is refused where nobody here understands it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from contracts.errors import BadBundle
from contracts.manifest import MANIFEST_FILE, TRAINING_FILE
from model.build.presets import PRESETS
from model.build.recipe import Recipe
from model.build.stream_training import taught
from model.bundle.change_items import RetireItems, changed_catalog, write_with_catalog
from model.bundle.renew import Renewal, renew_bundle
from model.bundle.write import write_bundle
from model.training.config import LossConfig, PerLevel, SampleConfig
from model.training.taught import Taught
from tests.model.bundle.contents import NOW, change_json, contents, network, sign_again

OURS = Taught(
    losses=LossConfig(gamma=0.7, history=0.2, rsp_labels=PerLevel.all(0.5)),
    samples=SampleConfig(sampled_negatives=3),
    learning_rate=2e-3,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(dataclasses.replace(contents(), training=OURS.to_json()), tmp_path / "bundle")
    return tmp_path / "bundle"


def without(place: Path, preset: str = "") -> Path:
    """As an earlier release wrote it."""
    write_bundle(dataclasses.replace(contents(), data={"preset": preset}), place)
    return place


def test_it_comes_back_and_goes_with_the_bundles_that_come_of_it(bundle: Path, tmp_path: Path) -> None:
    assert Taught.of(bundle) == OURS
    renew_bundle(bundle, Renewal(network(5), NOW, 5, {}), tmp_path / "renewed")
    write_with_catalog(bundle, changed_catalog(bundle, RetireItems([7])).catalog, tmp_path / "retired", NOW)
    for grown in ("renewed", "retired"):
        assert Taught.of(tmp_path / grown) == OURS


def test_every_key_is_written_so_that_other_defaults_change_nothing(bundle: Path) -> None:
    content = json.loads((bundle / TRAINING_FILE).read_bytes())
    assert set(content["losses"]) == {field.name for field in dataclasses.fields(LossConfig)}
    assert set(content["samples"]) == {field.name for field in dataclasses.fields(SampleConfig)}


def test_what_is_given_counts_first_then_the_bundle_then_its_preset(bundle: Path, tmp_path: Path) -> None:
    given = Recipe(losses=LossConfig(alpha=0.25))
    assert taught(bundle, given) == given.taught()
    assert taught(bundle, None) == OURS
    tiny = without(tmp_path / "tiny", "tiny")
    assert Taught.of(tiny) is None
    assert taught(tiny, None) == PRESETS["tiny"].taught()
    assert taught(without(tmp_path / "another", "my_config"), None) == Recipe().taught()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"losses": {"margin": 1.0}}, "losses"),
        ({"losses": {"alpha": -1.0}}, "losses.alpha"),
        ({"format": 2}, "format"),
        ({"samples": {}, "losses": []}, "losses"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(bundle: Path, change: dict[str, object], said: str) -> None:
    change_json(bundle / TRAINING_FILE, lambda content: content.update(change))
    sign_again(bundle, TRAINING_FILE)
    with pytest.raises(BadBundle, match=said) as caught:
        Taught.of(bundle)
    assert "\n" not in str(caught.value)
    assert TRAINING_FILE in json.loads((bundle / MANIFEST_FILE).read_text())["files"]
