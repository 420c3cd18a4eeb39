"""A table goes on where it stopped, trains nothing twice, and never mixes what was measured differently."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import BadResults
from model.baselines.fit import BaselineConfig, Method
from model.study.cells import Cells
from model.study.report import rows_of
from model.study.run import INVALID, Measure, run
from model.study.variants import SweepValues, ablation, sweeps

from .worlds import RECIPE, Trainer, market, study

DATA = market()
VARIANTS = [
    *ablation(RECIPE),
    *sweeps(RECIPE, SweepValues(lambda_2=(2, 6), mu=(0.5, 1.0), alpha=(0.0, 1.0), beta=(0.5,))),
]


def test_an_interrupted_table_goes_on_where_it_stopped_and_ends_the_same(tmp_path: Path) -> None:
    whole = list(run(study(DATA, tmp_path / "whole", Trainer(DATA)), VARIANTS, (0,)))

    stopped = Trainer(DATA, most=2)
    with pytest.raises(KeyboardInterrupt):
        list(run(study(DATA, tmp_path / "parts", stopped), VARIANTS, (0,)))
    kept = sorted(path.name for path in (tmp_path / "parts" / "cells").iterdir())
    assert kept == ["full-seed0", "no_ldpo-seed0"]

    later = Trainer(DATA)
    resumed = list(run(study(DATA, tmp_path / "parts", later), VARIANTS, (0,)))
    assert (stopped.trained, later.trained) == (["full-seed0", "no_ldpo-seed0"], ["no_rsp-seed0", "ntp-seed0"])
    for one, other in zip(whole, resumed, strict=True):
        assert (one.variant, one.seed, one.identity) == (other.variant, other.seed, other.identity)
        for truth, of in one.metrics.truths.items():
            assert other.metrics.truths[truth].users == of.users
            np.testing.assert_array_equal(other.metrics.truths[truth].values, of.values)

    again = Trainer(DATA)
    list(run(study(DATA, tmp_path / "parts", again), VARIANTS, (0,)))
    assert again.trained == []
    # alpha 0 is the model without LDPO; points of the sweeps in lambda and mu are the full model's weights.
    by_name = {cell.variant: cell.metrics.means() for cell in resumed}
    assert by_name["alpha=0"] == by_name["no_ldpo"]
    assert {"lambda_2=2", "mu=0.5"} <= by_name.keys()
    assert "mu=1" not in by_name


def test_seeds_are_cells_of_their_own_and_sweeps_take_the_first(tmp_path: Path) -> None:
    cells = list(run(study(DATA, tmp_path, Trainer(DATA)), [VARIANTS[0], VARIANTS[-1]], (4, 1)))
    assert [(cell.variant, cell.seed) for cell in cells] == [("full", 4), (VARIANTS[-1].name, 4), ("full", 1)]
    row = rows_of(cells, "full")[0]
    assert row.seeds == (4, 1)
    means = [cells[0].metrics.means()["click"]["HR@5"], cells[2].metrics.means()["click"]["HR@5"]]
    assert row.metrics["click"]["HR@5"] == pytest.approx(np.mean(means))
    assert row.spread["click"]["HR@5"] == pytest.approx(max(means) - min(means))


def test_what_was_measured_differently_is_refused_unless_measured_again(tmp_path: Path) -> None:
    popular = BaselineConfig(longest=10)
    first = study(DATA, tmp_path, Trainer(DATA))
    first.baseline("popularity", Method.POPULARITY, popular)
    other = dataclasses.replace(first, measure=Measure(ks=(5,)))
    with pytest.raises(BadResults, match="under other settings"):
        other.baseline("popularity", Method.POPULARITY, popular)
    again = dataclasses.replace(other, force=True).baseline("popularity", Method.POPULARITY, popular)
    assert again.metrics.truths["click"].metrics == ("HR@5", "NDCG@5")
    assert other.baseline("popularity", Method.POPULARITY, popular).identity == again.identity


def test_a_bundle_of_another_recipe_is_not_measured(tmp_path: Path) -> None:
    list(run(study(DATA, tmp_path, Trainer(DATA)), VARIANTS[:1], (0,)))
    slower = dataclasses.replace(
        VARIANTS[0], recipe=dataclasses.replace(RECIPE, checkpoint_tokens=7), name="full_again"
    )
    with pytest.raises(BadResults, match="another recipe"):
        list(run(study(DATA, tmp_path, Trainer(DATA)), [slower], (0,)))
    # Forced, it is trained again; what its own recipe made stays.
    for expected in (["full-seed0"], []):
        again = Trainer(DATA)
        list(run(study(DATA, tmp_path, again, force=True), [slower], (0,)))
        assert again.trained == expected


def test_a_damaged_cell_is_one_line(tmp_path: Path) -> None:
    first = study(DATA, tmp_path, Trainer(DATA))
    cell = first.baseline("popularity", Method.POPULARITY, BaselineConfig(longest=10))
    (tmp_path / "cells" / "popularity-seed0" / "cell.json").write_text("{")
    with pytest.raises(BadResults, match="is no cell of a table"):
        Cells(tmp_path).find("popularity", 0, cell.identity)


def test_a_cell_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = study(DATA, tmp_path, Trainer(DATA)).baseline("popularity", Method.POPULARITY, BaselineConfig(longest=10))

    def full_disk(*_words: object, **_more: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(json, "dumps", full_disk)
        with pytest.raises(OSError, match="No space"):
            Cells(tmp_path / "other").keep(cell)
    assert list((tmp_path / "other" / "cells").iterdir()) == []


def test_users_can_be_a_sample_the_same_for_every_method(tmp_path: Path) -> None:
    some = dataclasses.replace(study(DATA, tmp_path, Trainer(DATA)), measure=Measure(ks=(5,), users=7))
    cells = [some.baseline(name, Method(name), BaselineConfig(longest=5)) for name in ("popularity", "cooccurrence")]
    users = [cell.metrics.truths["click"].users for cell in cells]
    assert users[0] == users[1]
    assert len(users[0]) == 7


def test_without_a_trie_invalid_ids_are_counted(tmp_path: Path) -> None:
    [cell] = run(study(DATA, tmp_path, Trainer(DATA)), [VARIANTS[4]], (0,))
    shares = cell.metrics.truths[INVALID]
    assert shares.metrics == ("share@5", "share@10")
    assert ((shares.values >= 0) & (shares.values <= 1)).all()
    # Forty items on sixty-four combinations: a hardly trained model hits an invalid one.
    assert shares.values.max() > 0
