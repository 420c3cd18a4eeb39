"""A small marketplace, built end to end and read back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import BadBundle, BadDataSet
from contracts.manifest import Manifest
from contracts.progress import Silent
from model.build.presets import PRESETS
from model.bundle.read import Bundle, read_bundle
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.synthetic import make_marketplace
from model.data.timelines import held_out
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.recommender import Generative
from model.training.taught import Taught

from .small import NOW, build_of, data_of, small_recipe


@pytest.fixture(scope="module")
def market() -> DataSet:
    return make_marketplace(users=60, items=80, seed=3)


@pytest.fixture(scope="module")
def built(market: DataSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Bundle]:
    out = tmp_path_factory.mktemp("built") / "bundle"
    manifest = build_of(market, small_recipe())(market, out).manifest
    return manifest, read_bundle(out)


def test_what_was_built_reads_back(market: DataSet, built: tuple[Manifest, Bundle]) -> None:
    manifest, bundle = built
    assert bundle.manifest == manifest
    assert manifest.created_at == NOW.isoformat()
    assert manifest.data["name"] == market.name
    assert manifest.data["users"] == 60
    assert bundle.catalog.item_id.tolist() == market.items.item_id.tolist()
    assert bundle.prompt_format.level_sizes == bundle.catalog.level_sizes == bundle.config.level_sizes
    assert bundle.config.decode.beams == (8, 40)
    for scene in market.log.scenes:
        assert f"scene:{scene}" in bundle.prompt_format.special_tokens


def test_the_fallback_covers_every_scene_with_items_of_the_catalogue(
    market: DataSet, built: tuple[Manifest, Bundle]
) -> None:
    popular = built[1].popular
    assert set(popular.scenes) == set(market.log.scenes)
    for items in (popular.default, *popular.scenes.values()):
        assert len(items) == len(set(items)) == 30
        assert (built[1].catalog.rows_of(items) >= 0).all()


def test_it_tells_what_it_was_taught(built: tuple[Manifest, Bundle]) -> None:
    assert Taught.of(built[1].path) == small_recipe().taught()


def test_ids_are_unique_as_the_recipe_asks(built: tuple[Manifest, Bundle]) -> None:
    codes = built[1].catalog.codes
    assert len(np.unique(codes, axis=0)) == len(codes)


def test_metrics_stand_beside_those_of_popularity(built: tuple[Manifest, Bundle]) -> None:
    metrics = built[0].metrics
    assert metrics["test_users"] == 20
    for truth in ("click", "pv"):
        for metric in ("HR@5", "HR@20", "NDCG@5", "NDCG@20"):
            assert 0.0 <= metrics[f"{truth} {metric}"] <= 1.0
            assert 0.0 <= metrics[f"{truth} {metric} popularity"] <= 1.0


def test_the_bundle_recommends(market: DataSet, built: tuple[Manifest, Bundle]) -> None:
    bundle = built[1]
    network = bundle.network()
    method = Generative(TwoStageDecoder(network, bundle.catalog), bundle.prompt_format, bundle.catalog)
    users = list(held_out(market, Split.TEST))[:3]
    for ranking in method(users):
        # Eight prefixes are kept, and each leads to an item at least.
        assert 8 <= len(ranking.item_R) <= 40
        assert len(np.unique(ranking.item_R)) == len(ranking.item_R)
        assert (np.diff(ranking.score_R) <= 0).all()


def test_equal_seeds_give_equal_versions_and_other_seeds_others(
    market: DataSet, built: tuple[Manifest, Bundle], tmp_path: Path
) -> None:
    again = build_of(market, small_recipe())(market, tmp_path / "again").manifest
    assert again == built[0]
    other = build_of(market, small_recipe(), seed=1)(market, tmp_path / "other").manifest
    assert other.model_version != again.model_version


class Stages:
    """Keeps the names of the stages that begin."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, stage: str, total: int) -> None:
        """One more; its size is not kept."""
        assert total >= 0
        self.begun.append(stage)

    def advance(self, units: int, note: str = "") -> None:
        """Not kept."""
        assert units >= 0
        assert "\n" not in note


def test_a_build_tells_its_stages(market: DataSet, tmp_path: Path) -> None:
    stages = Stages()
    build_of(market, small_recipe(), progress=stages)(market, tmp_path / "out")
    assert stages.begun == ["semantic ids", "training", "evaluating"]


def test_a_build_that_would_replace_a_bundle_unasked_does_not_even_begin(
    market: DataSet, built: tuple[Manifest, Bundle]
) -> None:
    stages = Stages()
    with pytest.raises(BadBundle, match="exists already"):
        build_of(market, small_recipe(), progress=stages)(market, built[1].path)
    assert not stages.begun


def test_data_without_order_is_refused_in_one_line(market: DataSet, tmp_path: Path) -> None:
    log = dataclasses.replace(market.log, timestamp=np.full_like(market.log.timestamp, -1), ordered=False, clock=False)
    data = DataSet("unordered", log, market.items)
    with pytest.raises(BadDataSet) as caught:
        build_of(data, small_recipe())(data, tmp_path / "out")
    assert "has no order" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_data_with_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    data = data_of([("ann", 5, "click", "home"), ("bob", 7, "click", "home")])
    with pytest.raises(BadDataSet, match="no user has a training request with a history"):
        build_of(data, small_recipe())(data, tmp_path / "out")


@pytest.mark.heavy
def test_the_demo_finds_twice_as_many_clicks_as_popularity(tmp_path: Path) -> None:
    data = make_marketplace()
    metrics = build_of(data, PRESETS["tiny"], progress=Silent())(data, tmp_path / "bundle").manifest.metrics
    assert metrics["click HR@20"] >= 2 * metrics["click HR@20 popularity"]
