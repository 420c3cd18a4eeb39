"""Which codes may follow the prefixes of a batch: the trie, as boolean rows for the training step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.semantic_id.trie import Trie

# Axes: G prefixes, j codes of a prefix, V codes of a level, W nodes of a level.


class ValidCodes:
    """Children of prefixes, looked up by the prefix's codes; every prefix asked for must be in the trie."""

    def __init__(self, trie: Trie) -> None:
        self._trie = trie
        # A node's number in mixed radix: nodes are in lexicographic order, so the numbers are sorted.
        self._keys: list[NDArray[np.int64]] = []
        key_W = np.zeros(1, dtype=np.int64)
        for level, size in enumerate(trie.level_sizes):
            key_W = key_W[trie.parent[level]] * size + trie.code[level]
            self._keys.append(key_W)

    def following(self, prefix_Gj: Tensor) -> Tensor:
        """bool [G, V]: the codes of level j + 1 that lead to an item, for prefixes of j >= 0 codes."""
        depth = prefix_Gj.shape[1]
        start, code = self._trie.child_start[depth], self._trie.code[depth]
        node_G = self._nodes(prefix_Gj.cpu().numpy())
        first_G = start[node_G]
        count_G = start[node_G + 1] - first_G
        row = np.repeat(np.arange(len(node_G)), count_G)
        within = np.arange(len(row)) - np.repeat(np.cumsum(count_G) - count_G, count_G)
        valid_GV = np.zeros((len(node_G), self._trie.level_sizes[depth]), dtype=np.bool_)
        valid_GV[row, code[np.repeat(first_G, count_G) + within]] = True
        return torch.from_numpy(valid_GV).to(prefix_Gj.device)

    def _nodes(self, prefix_Gj: NDArray[np.int64]) -> NDArray[np.int64]:
        key_G = np.zeros(len(prefix_Gj), dtype=np.int64)
        for level, size in enumerate(self._trie.level_sizes[: prefix_Gj.shape[1]]):
            key_G = key_G * size + prefix_Gj[:, level]
        if not prefix_Gj.shape[1]:
            return key_G
        found: NDArray[np.int64] = np.searchsorted(self._keys[prefix_Gj.shape[1] - 1], key_G)
        return found
