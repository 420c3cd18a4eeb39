"""The catalogue's trie where the scores are: CSR rows of children per level.

Scorers of pairs walk it; `model.semantic_id.trie` builds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.semantic_id.trie import Trie


@dataclass(frozen=True, slots=True, eq=False)
class TrieLevel:
    """A level's nodes in SID order: code int32 [W_l]; node p's children are start[p] ..< start[p + 1], int64.

    most: the most children that one node has.
    """

    code: Tensor
    start: Tensor
    most: int


def levels_of(trie: Trie, device: torch.device) -> tuple[TrieLevel, ...]:
    """Level 1 first."""
    return tuple(
        TrieLevel(
            torch.from_numpy(code).to(device),
            torch.from_numpy(start).to(device),
            int((start[1:] - start[:-1]).max(initial=0)),
        )
        for code, start in zip(trie.code, trie.child_start, strict=True)
    )
