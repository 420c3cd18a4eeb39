"""Warm-up prompts are as long and as many as will come, always the same, and work for an empty catalogue too."""

from __future__ import annotations

import numpy as np

from contracts.manifest import Manifest
from model.bundle.prompt_side import PromptSide
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from services.engine.warm_up import warm_up_batches

SIZES = (4, 5)


def side(items: int) -> PromptSide:
    fmt = PromptFormat.create(SIZES, ["home"], max_tokens=64, block_tokens=8)
    codes = np.array([[row % SIZES[0], row % SIZES[1]] for row in range(items)], np.int32).reshape(-1, 2)
    catalog = Catalog(np.arange(items, dtype=np.int64), codes, np.ones(items, np.float32), SIZES)
    manifest = Manifest(
        model_version="m", catalog_version=catalog.version, created_at="", data={}, metrics={}, files={}
    )
    return PromptSide(manifest, fmt, catalog)


def test_the_longest_alone_an_empty_history_and_a_full_batch_of_mixed_lengths() -> None:
    batches = warm_up_batches(side(20), 4)
    lengths = [[len(prompt.tokens) for prompt in batch] for batch in batches]
    context = side(20).prompt_format.context_length
    assert lengths[0] == [max(max(batch) for batch in lengths)]
    # Cut at the front in whole blocks: at most a block below what the prompt may hold.
    assert 64 - 8 < lengths[0][0] <= 64
    assert lengths[1] == [context]
    assert len(lengths[2]) == 4
    assert sorted(set(lengths[2]), reverse=True) == lengths[2]
    assert all(prompt.user is None for batch in batches for prompt in batch), "nobody's cache shall hold them"


def test_the_same_every_time() -> None:
    first, second = warm_up_batches(side(20), 3), warm_up_batches(side(20), 3)
    for one, other in zip(first, second, strict=True):
        assert [prompt.tokens.tolist() for prompt in one] == [prompt.tokens.tolist() for prompt in other]


def test_a_catalogue_without_items_is_warmed_up_too() -> None:
    batches = warm_up_batches(side(0), 2)
    assert {len(prompt.tokens) for batch in batches for prompt in batch} == {side(0).prompt_format.context_length}
