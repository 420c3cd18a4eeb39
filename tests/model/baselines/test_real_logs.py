"""On the real logs, where they can be found, the baselines reach what others reached with the same methods."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.behaviors import Level
from contracts.progress import Silent
from model.baselines.fit import BaselineConfig, Method, fit_baseline
from model.data.data_set import DataSet, read_data_set
from model.data.timelines import held_out
from model.evaluation.evaluate import Metrics, evaluate

ROOT = Path(os.environ.get("RANKGR_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = pytest.mark.heavy


def real(name: str) -> DataSet:
    """A real log, or a skipped test."""
    if not (ROOT / name).is_dir():
        pytest.skip(f"{ROOT / name} is not there; RANKGR_DATA names the folder that holds the real logs")
    return read_data_set(ROOT / name)


def measured(data: DataSet, method: Method, config: BaselineConfig, ks: tuple[int, ...]) -> Metrics:
    """On the whole test split."""
    users = list(held_out(data, history_level=config.history_level))
    return evaluate(fit_baseline(method, data, config, Silent()), users, ks, batch=256)


# Half a 95 % interval at HR@10 is .003 to .004.
@pytest.mark.parametrize(
    ("method", "hit_rate", "ndcg"),
    [(Method.POPULARITY, 0.0113, 0.0053), (Method.COOCCURRENCE, 0.0516, 0.0271), (Method.TRANSITIONS, 0.0817, 0.0510)],
)
def test_beauty(method: Method, hit_rate: float, ndcg: float) -> None:
    found = measured(real("amazon_beauty_2014_5core"), method, BaselineConfig(longest=10), (10,))["purchase"]
    assert found["HR@10"] == pytest.approx(hit_rate, abs=0.002)
    assert found["NDCG@10"] == pytest.approx(ndcg, abs=0.001)


def test_trivago_with_exposures() -> None:
    config = BaselineConfig(history_level=Level.EXPOSURE, prior=0.0, longest=1000)
    found = measured(real("trivago_recsys2019_100k"), Method.COOCCURRENCE, config, (20, 100, 1000))
    # The reference counts searches, which the reader passes over: a little is missing.
    assert found["click"]["HR@20"] == pytest.approx(0.786, abs=0.025)
    assert found["click"]["HR@100"] == pytest.approx(0.854, abs=0.015)
    assert found["click"]["HR@1000"] == pytest.approx(0.861, abs=0.015)
    assert found["pv"]["HR@100"] == pytest.approx(0.614, abs=0.015)
