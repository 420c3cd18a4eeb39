"""`rankgr data`: counts of a data set, a synthetic one, and a clear line for what is no data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .command_line import Run

KEYS = {"users", "items", "interactions", "behaviors", "first_timestamp", "last_timestamp"}


def test_describe_counts_what_synth_made(rankgr: Run, tmp_path: Path) -> None:
    made = rankgr(
        "data", "synth", "--out", tmp_path / "d", "--users", 30, "--items", 40, "--seed", 3, "--json"
    ).content()
    assert made.keys() >= KEYS
    assert (made["users"], made["items"]) == (30, 40)
    assert sum(made["behaviors"].values()) == made["interactions"]
    # A directory's name is its data's.
    assert rankgr("data", "describe", tmp_path / "d", "--json").content() == made | {"name": "d"}


def test_people_get_the_same_counts_as_text(rankgr: Run, micro_data: Path) -> None:
    shown = rankgr("data", "describe", micro_data)
    assert (shown.code, shown.err) == (0, "")
    assert "users: 60\n" in shown.out
    assert "  click: " in shown.out


@pytest.mark.parametrize("missing", ["interactions.parquet", "items.parquet"])
def test_a_directory_without_a_file_is_told_which(rankgr: Run, micro_data: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(micro_data, tmp_path / "d")
    (tmp_path / "d" / missing).unlink()
    assert missing in rankgr("data", "describe", tmp_path / "d", "--json").complaint()


@pytest.mark.parametrize("damaged", ["interactions.parquet", "items.parquet"])
def test_a_file_that_is_no_parquet_is_told_by_name(rankgr: Run, micro_data: Path, tmp_path: Path, damaged: str) -> None:
    shutil.copytree(micro_data, tmp_path / "d")
    (tmp_path / "d" / damaged).write_bytes(b"not what you think")
    assert damaged in rankgr("data", "describe", tmp_path / "d").complaint()


def test_data_that_is_there_is_not_written_over_unasked(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    precious = shutil.copytree(micro_data, tmp_path / "d")
    before = {path.name: path.read_bytes() for path in precious.iterdir()}
    words = ("data", "synth", "--out", precious, "--users", 5, "--items", 20, "--json")
    assert "--force" in rankgr(*words).complaint()
    assert {path.name: path.read_bytes() for path in precious.iterdir()} == before
    assert rankgr(*words, "--force").content()["users"] == 5
    (precious / "interactions.parquet").unlink()
    assert "items.parquet exists already" in rankgr(*words).complaint()


def test_a_place_that_cannot_be_written_is_one_line(rankgr: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rankgr("data", "synth", "--out", tmp_path / "file" / "d", "--users", 5, "--items", 20, "--json").complaint()
