"""A prompt's history, read back from its tokens: the engine is given no other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from contracts.behaviors import Level
from contracts.errors import BadBundle
from model.network.config import RankGRConfig
from model.prompt.special_tokens import behavior_token
from model.semantic_id.catalog import Int64s
from model.semantic_id.trie import Bools, Trie

# Shapes: L prompt tokens, W windows of M tokens, H items of the history, S semantic ids, M levels.


@dataclass(frozen=True, slots=True, eq=False)
class PromptHistory:
    """offset_M, size_M: where the levels' tokens lie; shown: tokens of behaviours that are less than a click.

    key_S int64: the codes of each SID as one number, rising.
    """

    offset_M: Int64s
    size_M: Int64s
    shown: Int64s
    key_S: Int64s

    @classmethod
    def of(cls, config: RankGRConfig, trie: Trie) -> Self:
        """For one model and catalogue.  Raises BadBundle where there are more combinations of codes than 2^63."""
        if math.prod(config.level_sizes) >= 2**63:
            raise BadBundle(f"levels of {config.level_sizes} codes have more combinations than an int64 holds")
        special = config.rankgr.special_tokens
        names = [behavior_token(level) for level in Level if level < Level.CLICK]
        return cls(
            offset_M=np.array([part.token_offset for part in config.levels], np.int64),
            size_M=np.array(config.level_sizes, np.int64),
            shown=np.array([special[name] for name in names if name in special], np.int64),
            key_S=np.ravel_multi_index(tuple(trie.sids.T.astype(np.int64)), config.level_sizes).astype(np.int64),
        )

    def __call__(self, tokens_L: Int64s) -> tuple[Int64s, Bools]:
        """SIDs of the history's items, oldest first, [H], and whether each was clicked, or more, [H].

        Where a prompt does not tell behaviours, all were; what the catalogue does not have is passed over.
        """
        levels = len(self.offset_M)
        if len(tokens_L) < levels:
            return np.zeros(0, np.int64), np.zeros(0, np.bool_)
        code_WM = sliding_window_view(tokens_L, levels) - self.offset_M
        place_H = np.flatnonzero(((code_WM >= 0) & (code_WM < self.size_M)).all(1))
        key_H = np.ravel_multi_index(tuple(code_WM[place_H].T), tuple(self.size_M.tolist()))
        sid_H = np.minimum(np.searchsorted(self.key_S, key_H), len(self.key_S) - 1).astype(np.int64)
        known_H = self.key_S[sid_H] == key_H
        shown_H = (place_H > 0) & np.isin(tokens_L[place_H - 1], self.shown)
        return sid_H[known_H], ~shown_H[known_H]
