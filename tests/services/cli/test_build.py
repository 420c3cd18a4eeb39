"""`rankgr build`: a data set becomes a bundle, and nothing half-done is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .command_line import Run


def test_a_small_market_becomes_a_bundle_within_seconds(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    built = rankgr("build", micro_data, "--out", tmp_path / "b", "--preset", "micro", "--seed", 1, "--json").content()
    assert built.keys() >= {"bundle", "model_version", "catalog_version", "seconds", "metrics"}
    assert built["bundle"] == str(tmp_path / "b")
    assert "click HR@20 popularity" in built["metrics"]
    # The CPU time of this process would say the same; a shared machine's clock gets some room.
    assert built["seconds"] < 30
    reported = rankgr("sid", "report", tmp_path / "b", "--json").content()
    assert reported.keys() >= {"levels", "items", "sids_used", "collision_rate", "max_items_per_sid", "gini"}
    assert (reported["items"], len(reported["levels"])) == (80, 2)


def test_a_bundle_that_is_there_is_not_replaced_unasked_and_nothing_is_trained(
    rankgr: Run, micro_data: Path, micro_bundle: Path
) -> None:
    began_s = time.process_time()
    refused = rankgr("build", micro_data, "--out", micro_bundle, "--preset", "micro", "--json")
    assert "--force" in refused.complaint()
    assert time.process_time() - began_s < 2


def test_progress_goes_to_stderr_and_the_result_to_stdout(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    built = rankgr("build", micro_data, "--out", tmp_path / "b", "--preset", "micro")
    assert built.code == 0
    assert built.out.startswith(f"{tmp_path / 'b'}: model ")
    for stage in ("semantic ids", "evaluating"):
        assert stage in built.err
        assert stage not in built.out


def test_a_log_without_order_is_refused_in_one_line(rankgr: Run, tmp_path: Path) -> None:
    data, out = tmp_path / "d", tmp_path / "b"
    data.mkdir()
    rows = range(6)
    log = {
        "user_id": pa.array([row % 2 for row in rows], pa.int64()),
        "item_id": pa.array([row % 3 for row in rows], pa.int64()),
        "behavior": pa.array(["click"] * 6),
        "timestamp": pa.array([-1] * 6, pa.int64()),
        "session_id": pa.array(["s"] * 6),
        "split": pa.array(["train"] * 4 + ["test"] * 2),
    }
    pq.write_table(pa.table(log), data / "interactions.parquet")
    pq.write_table(pa.table({"item_id": pa.array([0, 1, 2], pa.int64())}), data / "items.parquet")
    assert rankgr("data", "describe", data, "--json").content()["ordered"] is False
    assert "order" in rankgr("build", data, "--out", out, "--preset", "micro", "--json").complaint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]
