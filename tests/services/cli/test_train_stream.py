"""`rankgr train --stream-from`: a bundle learns from a log in event time, and is a bundle like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command_line import Run
from .test_train import SMALL


@pytest.mark.heavy
def test_a_bundle_learns_from_a_log_and_tells_it_day_by_day(
    rankgr: Run, micro_data: Path, micro_bundle: Path, tmp_path: Path
) -> None:
    words = ("train", "--stream-from", micro_data, "--init-bundle", micro_bundle, "--per", "day", "--json")
    told = rankgr(*words, "--out", tmp_path / "one", "--look-share", "1").content()
    assert told["samples"] > 100
    assert told["steps"] > 1
    periods = told["periods"]
    assert sum(period["samples"] for period in periods) == told["samples"]
    assert [period["began_ms"] for period in periods] == sorted({period["began_ms"] for period in periods})
    assert all(period["began_ms"] % 86_400_000 == 0 for period in periods)
    assert all(0.0 <= period["hit_rate"] <= 1.0 for period in periods if period["looked"])
    assert told["newest_interaction_ms"] > 0
    again = rankgr(*words, "--out", tmp_path / "two", "--look-share", "0").content()
    # Looking changes nothing; equal seeds give equal weights.
    assert again["model_version"] == told["model_version"]
    items = rankgr("recommend", tmp_path / "one", "--items", "1,2,3", "--json").content()["items"]
    assert len(items) >= 20


@pytest.mark.heavy
def test_without_a_bundle_one_is_trained_on_what_lies_before(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL)
    seconds = rankgr("data", "describe", micro_data, "--json").content()
    from datetime import UTC, datetime

    middle = (seconds["first_timestamp"] + seconds["last_timestamp"]) // 2
    begin = datetime.fromtimestamp(middle, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    told = rankgr(
        "train", "--stream-from", micro_data, "--config", config, "--begin", begin, "--out", tmp_path / "out", "--json"
    ).content()
    assert told["samples"] > 20
    assert min(period["began_ms"] for period in told["periods"]) >= middle * 1000 - 3_600_000
    assert (tmp_path / "out.training" / "past" / "manifest.json").exists()


def test_what_does_not_go_together_is_said(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    assert rankgr("train", "--out", tmp_path / "o").code == 2
    assert rankgr("train", "--stream-from", micro_data, "--out", tmp_path / "o").code == 2
    assert rankgr("train", micro_data, "--stream-from", micro_data, "--out", tmp_path / "o").code == 2
    assert list(tmp_path.iterdir()) == []
