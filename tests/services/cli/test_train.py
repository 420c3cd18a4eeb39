"""`rankgr train`: a configuration file and a data set become a bundle that everything else takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ...model.build.language_model import write_language_model
from .command_line import Run

SMALL = """
[semantic_ids]
feature_dims = 16
[network]
hidden_size = 16
layers = 1
heads = 1
intermediate_size = 32
rank_dim = 8
rank_mlp = 16
[prompt]
max_tokens = 64
[optimiser]
tokens = 4000
batch_tokens = 512
[decoding]
beams = [20, 200]
lambdas = [40, 40]
[evaluation]
users = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_a_trained_bundle_recommends(rankgr: Run, micro_data: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"
    trained = rankgr("train", micro_data, "--out", out, "--config", config, "--seed", 1, "--json").content()
    assert trained.keys() >= {"bundle", "model_version", "catalog_version", "seconds", "metrics", "epochs", "steps"}
    # What is left beside the bundle is the log of steps, one line each, and no checkpoint.
    assert [path.name for path in (tmp_path / "b.training").iterdir()] == ["steps.jsonl"]
    lines = (tmp_path / "b.training" / "steps.jsonl").read_text().splitlines()
    assert len(lines) == trained["steps"]
    assert rankgr("eval", out, micro_data, "--ks", "20", "--json").content()["metrics"]["click"].keys() >= {"HR@20"}
    items = [item["item_id"] for item in rankgr("recommend", out, "--items", "1,2,3", "--json").content()["items"]]
    assert len(items) == len(set(items)) >= 20


def test_a_wrong_configuration_is_one_line_and_nothing_is_written(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text(SMALL + "\n[prompts]\n")
    refused = rankgr("train", micro_data, "--out", tmp_path / "b", "--config", config, "--json")
    assert "prompts: unknown key" in refused.complaint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]


@pytest.mark.parametrize("streamed", [False, True])
def test_data_that_is_refused_leaves_no_directory_behind(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path, streamed: bool
) -> None:
    words = ["train", "--out", tmp_path / "b", "--config", config, "--json"]
    if streamed:
        rankgr("sid", "build", micro_data, "--out", tmp_path / "sids", "--levels", "2x16", "--dims", 16, "--json")
        words += ["--sids", tmp_path / "sids"]
        # A log without times: it is read, cut into shards, and refused then.
        data = shutil.copytree(micro_data, tmp_path / "data")
        log = pq.read_table(data / "interactions.parquet")
        never = pa.array([-1] * len(log), pa.int64())
        place = log.schema.get_field_index("timestamp")
        pq.write_table(log.set_column(place, "timestamp", never), data / "interactions.parquet")
        words.append(data)
    else:
        # Fewer codes than items, found out when semantic ids are made.
        config.write_text(SMALL.replace("feature_dims = 16", "feature_dims = 16\nsizes = [2, 2]"))
        words.append(micro_data)
    before = set(tmp_path.iterdir())
    assert rankgr(*words).complaint()
    assert set(tmp_path.iterdir()) == before


def test_semantic_ids_of_a_directory_are_taken_and_the_log_is_streamed(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    sids, out = tmp_path / "sids", tmp_path / "b"
    made = rankgr("sid", "build", micro_data, "--out", sids, "--levels", "2x16", "--dims", 16, "--json").content()
    words = ("train", micro_data, "--out", out, "--config", config, "--sids", sids, "--json")
    trained = rankgr(*words).content()
    assert trained["catalog_version"] == made["catalog_version"]
    assert [path.name for path in (tmp_path / "b.training").iterdir()] == ["steps.jsonl"]
    # From equal shards to equal weights; the bundle that is there is not replaced unasked.
    assert "--force" in rankgr(*words).complaint()
    assert rankgr(*words, "--force").content()["model_version"] == trained["model_version"]


def test_levels_that_no_width_is_given_for_are_refused(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    sids = tmp_path / "sids"
    rankgr("sid", "build", micro_data, "--out", sids, "--levels", "3x8", "--dims", 16, "--json")
    refused = rankgr("train", micro_data, "--out", tmp_path / "b", "--config", config, "--sids", sids, "--json")
    assert "3 levels" in refused.complaint()
    assert not (tmp_path / "b").exists()


def test_a_language_model_is_begun_with(rankgr: Run, micro_data: Path, config: Path, tmp_path: Path) -> None:
    model = write_language_model(tmp_path / "qwen")
    config.write_text(SMALL.replace("max_tokens = 64", "max_tokens = 160").replace("tokens = 4000", "tokens = 2000"))
    out = tmp_path / "b"
    rankgr("train", micro_data, "--out", out, "--config", config, "--init", model, "--json").content()
    assert rankgr("recommend", out, "--items", "10001,10002", "--json").content()["items"]


@pytest.mark.parametrize("missing", ["--sids", "--init"])
def test_a_directory_that_is_not_what_it_should_be_is_one_line(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path, missing: str
) -> None:
    out = tmp_path / "b"
    refused = rankgr("train", micro_data, "--out", out, "--config", config, missing, tmp_path / "nowhere", "--json")
    assert "nowhere" in refused.complaint()
    assert not out.exists()


def test_an_interrupted_run_is_told_of_and_gone_on_with(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text("checkpoint_tokens = 1000\n" + SMALL)
    out, run = tmp_path / "b", tmp_path / "b.training"
    words = ("train", micro_data, "--out", out, "--config", config, "--json")
    whole = rankgr(*words).content()
    # What a kill after the last checkpoint leaves: no bundle, but a checkpoint.
    log = (run / "steps.jsonl").read_text()
    shutil.rmtree(out)
    killed = subprocess_killed(*words, run=run)
    assert killed
    assert "--resume" in rankgr(*words).complaint()
    resumed = rankgr(*words, "--resume").content()
    assert resumed["model_version"] == whole["model_version"]
    assert without_rates((run / "steps.jsonl").read_text()) == without_rates(log)


def subprocess_killed(*words: object, run: Path) -> bool:
    """Starts the command, and kills it as soon as it has a checkpoint."""
    command = [sys.executable, "-m", "services.cli", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not list(run.glob("checkpoint-*")):
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    return bool(list(run.glob("checkpoint-*")))


def without_rates(log: str) -> list[dict[str, object]]:
    """The lines without what a clock says."""
    lines = [json.loads(line) for line in log.splitlines()]
    return [{key: value for key, value in line.items() if key not in ("tokens_per_s", "left_s")} for line in lines]


def test_a_disk_that_is_full_is_one_line_and_no_bundle(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text("checkpoint_tokens = 1000\n" + SMALL)
    # A directory that takes no files, as one on a full disk.
    (tmp_path / "b.training").write_text("a file where the directory would be")
    refused = rankgr("train", micro_data, "--out", tmp_path / "b", "--config", config, "--json")
    assert "b.training" in refused.complaint()
    assert not (tmp_path / "b").exists()
