"""What vLLM is told, and which models it is never asked to take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import BadBundle
from model.bundle.read import Bundle

from .bundles import Recipe
from .hosts import options_for


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Recipe().write(tmp_path_factory.mktemp("options") / "bundle")


def test_the_cache_holds_the_prompts_of_one_step_at_least(bundle: Bundle) -> None:
    options = replace(options_for(bundle, most=3), cache_bytes=0)
    # Two layers and one for the rank head, of 64 numbers each; two heads of 32 need 128.
    token_bytes = (2 + 2) * 64 * 4
    assert options.arguments()["kv_cache_memory_bytes"] == 4 * 432 * token_bytes
    assert replace(options, cache_bytes=2**30).arguments()["kv_cache_memory_bytes"] == 2**30


def test_a_model_with_narrow_heads_is_refused_in_one_line(tmp_path: Path) -> None:
    narrow = Recipe(hidden=32, heads=2).write(tmp_path / "bundle")
    with pytest.raises(BadBundle, match=r"heads of 32, 64, .*this model's are 16 wide: use --host torch"):
        options_for(narrow)


def test_both_forms_differ_in_architecture_alone_where_they_can(bundle: Bundle) -> None:
    options = options_for(bundle)
    pooled, generating = options.pooling_arguments(), options.generation_arguments()
    assert pooled["hf_overrides"] != generating["hf_overrides"]
    assert {pooled[name] == generating[name] for name in ("model", "dtype", "block_size", "max_model_len")} == {True}
    assert generating["logprobs_mode"] == "processed_logits"
