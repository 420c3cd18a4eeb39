"""`rankgr eval`: metrics of a bundle next to popularity, and every list for whoever wants to look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .command_line import Run


def test_metrics_stand_next_to_popularity_s_and_the_dump_holds_every_list(
    rankgr: Run, micro_bundle: Path, micro_data: Path, tmp_path: Path
) -> None:
    dump = tmp_path / "lists.parquet"
    measured = rankgr("eval", micro_bundle, micro_data, "--ks", "5,20", "--dump", dump, "--json").content()
    assert measured.keys() >= {"users", "metrics", "popularity"}
    assert measured["metrics"].keys() == measured["popularity"].keys() == {"click", "pv", "purchase"}
    for truth in measured["metrics"]:
        for values in (measured["metrics"][truth], measured["popularity"][truth]):
            assert values.keys() == {"HR@5", "HR@20", "NDCG@5", "NDCG@20"}
            assert all(0 <= value <= 1 for value in values.values())
            assert values["HR@5"] <= values["HR@20"]
    lists = pq.read_table(dump)
    assert lists.column_names == ["user_id", "rank", "item_id", "score"]
    user_R, rank_R = lists["user_id"].to_numpy(zero_copy_only=False), lists["rank"].to_numpy()
    assert len(np.unique(user_R)) == measured["users"]
    for user in np.unique(user_R)[:5]:
        ranks = rank_R[user_R == user]
        assert ranks.tolist() == list(range(1, len(ranks) + 1))


def test_people_get_the_same_as_text(rankgr: Run, micro_bundle: Path, micro_data: Path) -> None:
    shown = rankgr("eval", micro_bundle, micro_data, "--ks", "5", "--split", "valid")
    assert shown.code == 0
    assert "HR@5" in shown.out
    assert "popularity" in shown.out


def test_a_dump_that_cannot_be_written_is_one_line(
    rankgr: Run, micro_bundle: Path, micro_data: Path, tmp_path: Path
) -> None:
    dump = tmp_path / "nowhere" / "lists.parquet"
    assert "nowhere" in rankgr("eval", micro_bundle, micro_data, "--dump", dump, "--json").complaint()
    # Before anything is read or fitted.
    words = ("--per-user", tmp_path / "nowhere" / "users.parquet", "--json")
    assert "nowhere" in rankgr("baseline", "popularity", tmp_path / "no_data", *words).complaint()


def test_nobody_to_measure_on_is_one_line(rankgr: Run, micro_bundle: Path, micro_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "train"
    data.mkdir()
    (data / "items.parquet").write_bytes((micro_data / "items.parquet").read_bytes())
    log = pq.read_table(micro_data / "interactions.parquet")
    log = log.drop_columns(["split"]).append_column("split", pa.array(["train"] * len(log)))
    pq.write_table(log, data / "interactions.parquet")
    assert "nobody to measure on" in rankgr("eval", micro_bundle, data, "--json").complaint()
    assert "nobody to measure on" in rankgr("baseline", "popularity", data, "--json").complaint()
