"""The benchmark's bundles: what a shape promises, written once, and the same for equal seeds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from contracts.errors import BadBundle
from model.bundle.read import read_bundle
from services.bench.engine.bundles import backbone_of, bundle_of, random_catalog
from services.bench.engine.shapes import DEFAULT, QWEN, SHAPES, SMALL
from services.bench.engine.weights import spread_network

LATER = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_bundle_is_written_once(cache: Path, bundle: Path) -> None:
    before = (bundle / "manifest.json").stat().st_mtime_ns
    assert bundle_of(SMALL, 0, cache, LATER) == bundle
    assert (bundle / "manifest.json").stat().st_mtime_ns == before


def test_equal_seeds_give_equal_weights_and_another_seed_others(bundle: Path, tmp_path: Path) -> None:
    again = read_bundle(bundle_of(SMALL, 0, tmp_path, LATER)).manifest
    other = read_bundle(bundle_of(SMALL, 1, tmp_path, LATER)).manifest
    first = read_bundle(bundle).manifest
    assert (again.model_version, again.catalog_version) == (first.model_version, first.catalog_version)
    assert other.model_version != first.model_version
    assert other.catalog_version != first.catalog_version


def test_what_is_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    directory = bundle_of(SMALL, 0, tmp_path, LATER)
    (directory / "manifest.json").unlink()
    with pytest.raises(BadBundle, match="in the way"):
        bundle_of(SMALL, 0, tmp_path, LATER)


def test_the_plain_backbone_holds_the_same_weights_without_the_rank_head(bundle: Path) -> None:
    backbone = backbone_of(bundle, SMALL)
    whole, plain = load_file(bundle / "model.safetensors"), load_file(backbone / "model.safetensors")
    assert {name for name in whole if name not in plain} == {name for name in whole if name.startswith("rank_head.")}
    assert all(torch.equal(plain[name], whole[name]) for name in plain)
    assert backbone_of(bundle, SMALL) == backbone


def test_the_catalogue_fills_its_share_of_all_combinations() -> None:
    catalog = random_catalog(SMALL, 5)
    combinations = SMALL.level_sizes[0] * SMALL.level_sizes[1]
    assert len(catalog) == pytest.approx(SMALL.density * combinations, rel=0.1)
    assert len({tuple(row) for row in catalog.codes.tolist()}) == len(catalog)


def test_the_default_shape_is_the_one_that_the_figures_are_promised_for() -> None:
    config = DEFAULT.config()
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (128, 3, 384)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (4, 2, 32)
    assert (config.level_sizes, DEFAULT.density, DEFAULT.prompt_tokens) == ((2048, 2048), 0.8, 2048)
    head = config.rank_head
    assert (head.heads, head.dim, head.mlp_hidden, head.mlp_input, head.keys) == (2, 32, 64, "attn_query", "all")
    assert (config.decode.beams, config.decode.lambdas) == ((500, 1400), (1400, 1400))


def test_the_gpu_shape_is_the_papers_backbone() -> None:
    config = QWEN.config()
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (896, 24, 4864)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (14, 2, 64)
    assert config.to_json()["dtype"] == QWEN.dtype == "bfloat16"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_every_shape_has_room_for_its_longest_prompt_and_the_codes_behind_it(shape: object) -> None:
    assert isinstance(shape, type(SMALL))
    assert shape.config().max_prompt_tokens >= shape.prompt_tokens


def test_scores_are_spread() -> None:
    """Random weights of the usual 0.02 would give lists of near-ties, equal or not by chance."""
    network = spread_network(SMALL.config(), 0, torch.float32)
    with torch.inference_mode():
        states = network(torch.arange(60)[None], torch.arange(60)[None])[0]
        logp = torch.log_softmax(network.level_logits(states[-1], 1), -1)
        logits = network.rank_head.score_logits(network.code_embeddings(1), states)
    assert logp.std() > 1
    assert logits.std() > 0.1
