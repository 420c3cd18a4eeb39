"""Metrics of users are kept as they are, and averaged over seeds only where the users are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadResults
from model.evaluation.evaluate import measure_users
from model.evaluation.recommender import Popularity
from model.evaluation.user_metrics import TruthMetrics, UserMetrics, mean_over_seeds

from .small import popular_catalog, user

CATALOG = popular_catalog({1: 0.0, 2: 5.0, 4: 9.0})
USERS = [user("b", history=[1, 1, 1], click={4}), user("a", click={2}, pv={1, 4}), user("c", pv={2})]


def some() -> UserMetrics:
    return measure_users(Popularity(CATALOG), USERS, (1, 2), batch=1)


def test_every_user_keeps_its_place_however_batches_are_made() -> None:
    found = some().truths
    assert {truth: of.users for truth, of in found.items()} == {"click": ("b", "a"), "pv": ("a", "c")}
    assert found["click"].metrics == ("HR@1", "NDCG@1", "HR@2", "NDCG@2")
    assert found["click"].column("HR@1").tolist() == [1.0, 0.0]
    assert found["pv"].column("HR@2").tolist() == [0.5, 1.0]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    some().write(tmp_path / "users.parquet")
    back = UserMetrics.read(tmp_path / "users.parquet").truths
    assert back.keys() == some().truths.keys()
    for truth, of in some().truths.items():
        assert (back[truth].users, back[truth].metrics) == (of.users, of.metrics)
        np.testing.assert_array_equal(back[truth].values, of.values)
    assert [path.name for path in tmp_path.iterdir()] == ["users.parquet"]


def test_nobody_s_metrics_can_be_kept_too(tmp_path: Path) -> None:
    UserMetrics({}).write(tmp_path / "users.parquet")
    assert UserMetrics.read(tmp_path / "users.parquet").truths == {}


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadResults, match="missing"):
        UserMetrics.read(tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(BadResults, match="no readable Parquet"):
        UserMetrics.read(tmp_path / "text.parquet")
    pq.write_table(pa.table({"user_id": ["a"], "item_id": [1]}), tmp_path / "other.parquet")
    with pytest.raises(BadResults, match="its columns are user_id, item_id"):
        UserMetrics.read(tmp_path / "other.parquet")


def test_seeds_are_averaged_user_by_user() -> None:
    one, other = (
        UserMetrics({"click": TruthMetrics(("a", "b"), ("HR@1",), np.array([[value], [1.0]]))}) for value in (0.0, 1.0)
    )
    assert mean_over_seeds([one, other]).truths["click"].values.tolist() == [[0.5], [1.0]]
    foreign = UserMetrics({"click": TruthMetrics(("a", "x"), ("HR@1",), np.zeros((2, 1)))})
    with pytest.raises(ValueError, match="cannot be averaged"):
        mean_over_seeds([one, foreign])
