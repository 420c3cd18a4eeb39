"""`rankgr train`: a configuration file and a data set become a bundle that everything else takes."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    assert trained.keys() >= {"bundle", "model_version", "catalog_version", "seconds", "metrics"}
    items = [item["item_id"] for item in rankgr("recommend", out, "--items", "1,2,3", "--json").content()["items"]]
    assert len(items) == len(set(items)) >= 20


def test_a_wrong_configuration_is_one_line_and_nothing_is_written(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    config.write_text(SMALL + "\n[prompts]\n")
    refused = rankgr("train", micro_data, "--out", tmp_path / "b", "--config", config, "--json")
    assert "prompts: unknown key" in refused.complaint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml"]
