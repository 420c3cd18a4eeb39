"""Configuration files: typed, defaults where they are silent, one line for whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.behaviors import Level
from contracts.errors import BadConfig
from model.build.presets import PRESETS
from model.build.read_recipe import read_recipe
from model.build.recipe import Recipe

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, "")) == Recipe()


def test_what_a_file_says_is_what_the_recipe_has(tmp_path: Path) -> None:
    text = """
    checkpoint_tokens = 5
    [semantic_ids]
    sizes = [32, 64, 128]
    [network]
    rank_mode = "literal"
    dropout = 0.2
    [prompt]
    history_level = "exposure"
    [samples]
    last_sessions = 3
    [losses]
    wrong_prefix_k = 2
    detached = true
    rsp_labels = {pseudo_exposure = 1, exposure = 1, click = 1, purchase = 1}
    [optimiser]
    learning_rate = 1
    precision = "bf16"
    [decoding]
    lambda_scope = "request"
    """
    recipe = read_recipe(written(tmp_path, text))
    assert recipe.checkpoint_tokens == 5
    assert recipe.semantic_ids.sizes == (32, 64, 128)
    assert recipe.network.rank_mode == "literal"
    assert recipe.prompt.history_level is Level.EXPOSURE
    assert recipe.losses.rsp_labels[Level.EXPOSURE] == 1.0
    assert recipe.decoding.lambda_scope == "request"
    fit = recipe.fit(seed=7)
    assert (fit.seed, fit.dropout, fit.checkpoint_tokens) == (7, 0.2, 5)
    assert fit.losses.detached
    assert fit.losses.wrong_prefix_k == 2
    assert fit.samples.last_sessions == 3
    assert fit.optimiser.learning_rate == 1.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[network]\nhiden_size = 3", "network.hiden_size: unknown key"),
        ("[netwrk]\n", "netwrk: unknown key"),
        ('[network]\nhidden_size = "64"', "network.hidden_size"),
        ("[network]\nhidden_size = 64.5", "network.hidden_size"),
        ("[network]\nhidden_size = 0", "network.hidden_size"),
        ("[network]\ndropout = 1.0", "network.dropout"),
        ("[optimiser]\nlearning_rate = nan", "optimiser.learning_rate"),
        ("[prompt]\nhistory_level = 3", "prompt.history_level"),
        ('[prompt]\nhistory_level = "stare"', "'stare' is none of pseudo_exposure, exposure, click, purchase"),
        ("[losses.rsp_labels]\nclick = 1.0", "losses.rsp_labels"),
        ("[losses]\ngamma = 0\n[decoding]\niap_mix = 0", "iap_mix must be above 0"),
        ("[decoding]\nbeams = []", "decoding.beams"),
        ("[network", "no configuration"),
        ("checkpoint_tokens = 1979-05-27", "no configuration"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_recipe(written(tmp_path, text))
    assert complaint in str(caught.value)
    assert "config.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        read_recipe(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadConfig, match="no configuration"):
        read_recipe(tmp_path / "binary.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_is_read(path: Path) -> None:
    assert read_recipe(path) != Recipe()


def test_the_marketplace_file_spells_out_the_tiny_preset() -> None:
    [path] = [path for path in CONFIGS if path.stem == "marketplace_cpu"]
    assert read_recipe(path) == PRESETS["tiny"]
    assert read_recipe(path).digest == PRESETS["tiny"].digest != PRESETS["micro"].digest
