"""A logits processor for vLLM's V1 runner: only tokens that lead to an item keep their logits.

vLLM loads it by name, in its own process; `additional_config` tells where the bundle is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from model.bundle.prompt_side import read_prompt_side
from model.semantic_id.trie import Trie
from services.engine.vllm_plugin.batch_rows import BatchRows

BUNDLE_KEY = "rankgr_bundle"
NAME = f"{__name__}:TrieMask"


class TrieMask(LogitsProcessor):
    """Knows of each row of the batch which node of the trie it stands at: the codes behind the prompt's marker."""

    def __init__(self, vllm_config: VllmConfig, _device: torch.device, _is_pin_memory: bool) -> None:
        told = vllm_config.additional_config
        if not isinstance(told, dict):
            raise TypeError(f"additional_config must hold {BUNDLE_KEY}, is {told!r}")
        side = read_prompt_side(Path(told[BUNDLE_KEY]))
        self._marker = side.prompt_format.marker
        self._offsets = side.prompt_format.token_offsets
        self._trie = Trie.of_catalog(side.catalog)
        # Beam search asks anew for every token, so a row stands at one node as long as it lives.
        self._nodes = BatchRows(lambda _params, prompt, output: self._node((*prompt, *output)))

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Nothing to refuse."""

    def is_argmax_invariant(self) -> bool:
        """The best token may be one that leads nowhere."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the rows that come, go and move."""
        self._nodes.update(batch_update)

    def apply(self, logits: Tensor) -> Tensor:
        """logits [rows, vocabulary] with -inf wherever the trie has no child."""
        allowed = [self._tokens_below(row) for row in range(len(logits))]
        row_P = np.repeat(np.arange(len(logits)), [len(tokens) for tokens in allowed])
        at = torch.from_numpy(row_P).to(logits.device), torch.from_numpy(np.concatenate(allowed)).to(logits.device)
        masked = torch.full_like(logits, -torch.inf)
        masked[at] = logits[at]
        return masked

    def _node(self, tokens: Sequence[int]) -> tuple[int, int]:
        """(level, node) of the codes behind the last marker."""
        fed: list[int] = []
        while len(fed) < len(tokens) and tokens[-1 - len(fed)] != self._marker:
            fed.append(tokens[-1 - len(fed)])
        node = 0
        for level, token in enumerate(reversed(fed)):
            below = self._trie.children(level, node)
            node = int(self._trie.child_start[level][node]) + int(np.searchsorted(below, token - self._offsets[level]))
        return len(fed), node

    def _tokens_below(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        level, node = self._nodes[row] or (0, 0)
        return self._trie.children(level, node).astype(np.int64) + self._offsets[level]
