"""A bundle's neighbours are what training rows say of pairs, the strongest of them, and nothing of the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.behaviors import Level
from contracts.errors import BadConfig, BadDataSet
from model.baselines.item_to_item import transitions
from model.baselines.train_rows import TrainRows
from model.build.neighbours import made_neighbours, refuse_neighbours, strongest
from model.build.recipe import NeighboursConfig, PromptConfig
from model.bundle.read import read_bundle
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace
from model.data.timelines import held_out
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.recommender import Generative
from model.semantic_id.neighbours import Neighbours

from ..baselines.worlds import random_data
from .small import Event, build_of, data_of, small_recipe


def click(user: str, *items: int, behavior: str = "click") -> list[Event]:
    return [(user, item, behavior, "home") for item in items]


def pairs_of(neighbours: Neighbours) -> dict[int, list[int]]:
    return {
        int(item): neighbours.to_item[neighbours.start[row] : neighbours.start[row + 1]].tolist()
        for row, item in enumerate(neighbours.from_item)
    }


def found(data: DataSet, **wish: object) -> dict[int, list[int]]:
    recipe = small_recipe(neighbours=NeighboursConfig(**wish), prompt=PromptConfig(history_level=Level.EXPOSURE))  # type: ignore[arg-type]
    made = made_neighbours(data.log, data.name, recipe)
    assert made is not None
    return pairs_of(made[0])


def test_none_are_asked_for_unless_a_recipe_does() -> None:
    data = random_data(0)
    assert made_neighbours(data.log, data.name, small_recipe()) is None
    refuse_neighbours(small_recipe())


def test_transitions_go_one_way_and_know_nothing_of_the_test() -> None:
    data = data_of([*click("ann", 1, 2), *click("bob", 1, 2, 3), *click("cid", 9)], test=click("ann", 3, 9))
    assert found(data, method="transitions") == {1: [2, 3], 2: [3]}


def test_cooccurrence_counts_what_was_shown_where_histories_hold_it() -> None:
    data = data_of([*click("ann", 1), *click("ann", 2, behavior="exposure"), *click("bob", 1, 3)])
    assert found(data, method="cooccurrence") == {1: [2, 3], 2: [1], 3: [1]}
    clicks = small_recipe(neighbours=NeighboursConfig(method="cooccurrence"))
    made = made_neighbours(data.log, data.name, clicks)
    assert made is not None
    assert pairs_of(made[0]) == {1: [3], 3: [1]}


def test_a_prior_shrinks_what_few_users_say() -> None:
    # 1 and 2 stand together for two users of many, 8 and 9 for the two that they have.
    many = [event for user in range(6) for event in click(f"user-{user}", 1, 2 if user < 2 else 30 + user)]
    data = data_of([*many, *click("ann", 8, 9), *click("bob", 8, 9)])
    says = {}
    for prior in (0.0, 20.0):
        recipe = small_recipe(neighbours=NeighboursConfig(method="cooccurrence", prior=prior))
        made = made_neighbours(data.log, data.name, recipe)
        assert made is not None
        rows = made[0].from_item.tolist()
        says[prior] = [float(made[0].says[made[0].start[rows.index(item)]]) for item in (1, 8)]
    assert says[0.0][1] == 1.0
    assert says[0.0][1] / says[0.0][0] > says[20.0][1] / says[20.0][0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [1, 3, 100])
def test_the_strongest_of_every_item_are_kept_strongest_first(seed: int, most: int) -> None:
    data = random_data(seed, users=12, items=9, events=150)
    rows = TrainRows.of(data, Level.CLICK)
    matrix = transitions(rows)
    made = strongest(matrix, rows, most)
    dense = matrix.toarray().astype(np.float32)
    for row, item in enumerate(rows.item_id.tolist()):
        order = [int(other) for other in np.argsort(-dense[row], kind="stable") if dense[row, other] > 0][:most]
        assert pairs_of(made).get(item, []) == rows.item_id[order].tolist()
    assert np.all(made.says > 0)


def test_who_comes_back_is_decided_on_training_clicks() -> None:
    recipe = small_recipe(neighbours=NeighboursConfig(method="transitions", weight=2.5, floor=0.02))
    for events, returns in (([*click("ann", 1, 1, 1, 2), *click("bob", 2, 2)], 0.3), (click("ann", 1, 2, 3), 0.0)):
        made = made_neighbours(data_of(events).log, "shop", recipe)
        assert made is not None
        assert (made[1].weight, made[1].floor, made[1].recency, made[1].returns) == (2.5, 0.02, 0.35, returns)


def test_a_log_without_clicks_has_no_transitions() -> None:
    recipe = small_recipe(neighbours=NeighboursConfig(method="transitions"))
    with pytest.raises(BadDataSet, match="shop: no training row of level click"):
        made_neighbours(data_of(click("ann", 1, 2, behavior="exposure")).log, "shop", recipe)


def test_a_log_in_pieces_is_refused_in_one_line() -> None:
    with pytest.raises(BadConfig, match=r"neighbours\.method needs the whole log"):
        refuse_neighbours(small_recipe(neighbours=NeighboursConfig(method="transitions")))


def test_a_built_bundle_orders_its_lists_by_them(tmp_path: Path) -> None:
    market = make_marketplace(users=60, items=80, seed=3)
    recipe = small_recipe(neighbours=NeighboursConfig(method="cooccurrence", weight=50.0))
    manifest = build_of(market, recipe)(market, tmp_path / "ordered").manifest
    plain = build_of(market, small_recipe())(market, tmp_path / "plain").manifest
    bundle = read_bundle(tmp_path / "ordered")
    assert bundle.neighbours is not None
    assert bundle.config.decode.neighbours is not None
    # The same weights; the manifest's metrics are of the lists that are served.
    assert (tmp_path / "plain" / "model.safetensors").read_bytes() == bundle.path.joinpath(
        "model.safetensors"
    ).read_bytes()
    assert manifest.metrics != plain.metrics
    assert manifest.model_version != plain.model_version
    users = list(held_out(market))[:6]
    ordered, alone = (
        Generative(
            TwoStageDecoder(bundle.network(), bundle.catalog, neighbours=some), bundle.prompt_format, bundle.catalog
        )(users)
        for some in (bundle.neighbours, None)
    )
    assert [one.item_R.tolist() for one in ordered] != [one.item_R.tolist() for one in alone]
    assert [set(one.item_R.tolist()) for one in ordered] == [set(one.item_R.tolist()) for one in alone]
