"""`rankgr ablate`: one table of cells that are kept, its figures; `rankgr behaviour-order`; the configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.build.network import network_config
from model.build.read_recipe import read_recipe
from model.prompt import PromptFormat

from .command_line import Run

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))
SMALL = """
[semantic_ids]
sizes = [32, 32]
feature_dims = 8
[network]
hidden_size = 16
layers = 1
heads = 1
kv_heads = 1
intermediate_size = 32
rank_dim = 8
rank_mlp = 8
[prompt]
max_tokens = 32
[optimiser]
tokens = 2000
batch_tokens = 512
[decoding]
beams = [8, 40]
lambdas = [8, 8]
[evaluation]
users = 5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training of two seconds."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_rows_are_cells_that_are_kept_with_a_table_and_a_figure(
    rankgr: Run, micro_data: Path, config: Path, tmp_path: Path
) -> None:
    words = ("ablate", micro_data, "--config", config, "--out", tmp_path / "out", "--ks", "5,20", "--json")
    some = ("--baselines", "popularity,cooccurrence_exposures", "--only", "full,full_iap_order,mu=0,mu=4")
    found = rankgr(*words, *some).content()
    assert [(row["variant"], row["seed"]) for row in found["rows"]] == [
        ("popularity", 0),
        ("cooccurrence_exposures", 0),
        ("full", 0),
        ("full_iap_order", 0),
        ("mu=0", 0),
        ("mu=4", 0),
    ]
    for row in found["rows"]:
        assert row["metrics"].keys() >= {"click", "pv", "purchase", "click_new"}
    difference = found["summary"][0]["differences"]["click"]["HR@5"]
    assert difference.keys() == {"mean", "low", "high", "smallest_effect"}
    assert "| popularity | 0 |" in (tmp_path / "out" / "table.md").read_text()
    assert [path.name for path in (tmp_path / "out").glob("*.svg")] == ["mu.svg"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.parquet")}
    assert rankgr(*words, *some).content()["rows"] == found["rows"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = (*words[:-3], "--ks", "3", "--json", "--only", "full", "--baselines", "none")
    assert "under other settings" in rankgr(*other).complaint()


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "fullest"),
        ("--baselines", "magic"),
        ("--seeds", "0,0"),
        ("--mu", "a"),
        ("--alpha", "-1"),
        ("--ks", "0"),
        ("--against", "fullest"),
    ],
)
def test_wrong_use_ends_with_2(rankgr: Run, micro_data: Path, config: Path, words: tuple[str, str]) -> None:
    assert rankgr("ablate", micro_data, "--config", config, *words).code == 2


def test_what_is_missing_is_one_line(rankgr: Run, micro_data: Path, config: Path, tmp_path: Path) -> None:
    assert "cannot be read" in rankgr("ablate", micro_data, "--config", tmp_path / "no.toml", "--json").complaint()
    assert "no directory" in rankgr("ablate", tmp_path / "no", "--config", config, "--json").complaint()
    assert "no behaviour cart" in rankgr("behaviour-order", micro_data, "--json").complaint()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_is_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.optimiser.precision == ("bf16" if path.stem.endswith("_gpu") else "float32")
    sizes = recipe.semantic_ids.sizes or (64,) * recipe.semantic_ids.levels
    assert len(recipe.decoding.beams) == len(recipe.decoding.lambdas) == len(sizes)
    prompt = PromptFormat.create(sizes, (), layout=recipe.prompt.layout, max_tokens=recipe.prompt.max_tokens)
    # Widths and heads that do not fit are refused here.
    assert network_config(recipe, prompt).hidden_size == recipe.network.hidden_size
