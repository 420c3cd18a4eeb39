"""The masking logits processor: rows that come, go and move, and only children of the trie left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from model.bundle.prompt_side import PromptSide, read_prompt_side
from model.semantic_id.trie import Trie
from services.bench.engine.bundles import bundle_of
from services.bench.engine.shapes import SMALL

if TYPE_CHECKING:
    from vllm.v1.sample.logits_processor import BatchUpdate

    from services.engine.vllm_baseline.trie_mask import TrieMask

pytestmark = pytest.mark.vllm


@dataclass(frozen=True, slots=True)
class _Config:
    """The one field of vLLM's configuration that is read."""

    additional_config: dict[str, str]


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> PromptSide:
    return read_prompt_side(bundle_of(SMALL, 0, tmp_path_factory.mktemp("bench"), datetime(2026, 11, 24, tzinfo=UTC)))


@pytest.fixture
def mask(tmp_path: Path) -> TrieMask:
    from services.engine.vllm_baseline.trie_mask import BUNDLE_KEY, TrieMask

    bundle = bundle_of(SMALL, 0, tmp_path, datetime(2026, 11, 24, tzinfo=UTC))
    config: Any = _Config({BUNDLE_KEY: str(bundle)})
    return TrieMask(config, torch.device("cpu"), False)


def allowed(mask: TrieMask, side: PromptSide, rows: int) -> list[list[int]]:
    logits = mask.apply(torch.zeros(rows, side.prompt_format.vocab_size))
    return [torch.isfinite(row).nonzero().flatten().tolist() for row in logits]


def tokens(side: PromptSide, level: int, node: int) -> list[int]:
    trie = Trie.of_catalog(side.catalog)
    return [side.prompt_format.token_offsets[level] + int(code) for code in trie.children(level, node)]


def update(added: list[tuple[int, list[int]]], removed: list[int], moved: list[tuple[int, int, str]]) -> BatchUpdate:
    from vllm import SamplingParams
    from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

    return BatchUpdate(
        batch_size=len(added),
        removed=removed,
        added=[(row, SamplingParams(), prompt, []) for row, prompt in added],
        moved=[(one, other, MoveDirectionality[direction]) for one, other, direction in moved],
    )


def test_only_children_of_a_rows_node_are_left(mask: TrieMask, side: PromptSide) -> None:
    fmt = side.prompt_format
    # The history holds codes too; only what stands behind the marker was decoded.
    history = [fmt.token_offsets[0] + 3, fmt.token_offsets[1] + 4, fmt.marker]
    first = tokens(side, 0, 0)
    mask.update_state(update([(0, history), (1, [*history, first[5]])], [], []))
    assert allowed(mask, side, 2) == [first, tokens(side, 1, 5)]


def test_rows_are_followed_when_they_move_and_go(mask: TrieMask, side: PromptSide) -> None:
    marker, first = side.prompt_format.marker, tokens(side, 0, 0)
    mask.update_state(update([(0, [marker]), (1, [marker, first[2]]), (2, [marker, first[7]])], [], []))
    mask.update_state(update([], [], [(0, 1, "SWAP")]))
    assert allowed(mask, side, 3) == [tokens(side, 1, 2), first, tokens(side, 1, 7)]
    mask.update_state(update([], [0], [(2, 0, "UNIDIRECTIONAL")]))
    assert allowed(mask, side, 2) == [tokens(side, 1, 7), first]
    mask.update_state(None)
    assert allowed(mask, side, 2) == [tokens(side, 1, 7), first]


def test_what_is_left_keeps_its_logits(mask: TrieMask, side: PromptSide) -> None:
    logits = torch.randn(1, side.prompt_format.vocab_size, generator=torch.Generator().manual_seed(0))
    masked = mask.apply(logits)
    first = tokens(side, 0, 0)
    assert torch.equal(masked[0, first], logits[0, first])
    assert not mask.is_argmax_invariant()
