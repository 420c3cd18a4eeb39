"""The order of a final beam, once more: what training showed beside or after the history's items counts, too.

A model knows of a pair of items what it has learnt of their codes; that two of them went together in twenty carts it
would have to learn by heart.  `stages` asks when a list is made; not of the paper (docs/training.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from model.decoding.prompt_history import PromptHistory
from model.decoding.request import Float64s
from model.network.config import NeighbourOrder, RankGRConfig
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.neighbours import Neighbours
from model.semantic_id.trie import Trie

# Shapes: L prompt tokens, H items of its history, P pairs, S semantic ids, K of a final beam, M levels.

RETURN_DECAY = 0.7
"""What an item clicked before counts for, to that of the one clicked after it."""


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourOrdering:
    """start int64 [S + 1], to_sid int64 [P], says float64 [P]: pairs of semantic ids, those of their items summed."""

    order: NeighbourOrder
    start: Int64s
    to_sid: Int64s
    says: Float64s
    prompts: PromptHistory

    @classmethod
    def of(cls, neighbours: Neighbours, config: RankGRConfig, catalog: Catalog, trie: Trie) -> Self | None:
        """For one catalogue: pairs with an item that it does not have count for nothing.

        None where the model's lists are ordered by none.  Raises BadBundle as `PromptHistory.of` does.
        """
        order = config.decode.neighbours
        if order is None:
            return None
        sids = len(trie.sids)
        from_P = np.repeat(catalog.rows_of(neighbours.from_item), np.diff(neighbours.start))
        to_P = catalog.rows_of(neighbours.to_item)
        known_P = (from_P >= 0) & (to_P >= 0)
        pair_P = trie.sid_of_row[from_P[known_P]] * sids + trie.sid_of_row[to_P[known_P]]
        pair_Q, place_P = np.unique(pair_P, return_inverse=True)
        says_Q = np.bincount(place_P, neighbours.says[known_P].astype(np.float64), len(pair_Q)).astype(np.float64)
        start = np.searchsorted(pair_Q, np.arange(sids + 1) * sids).astype(np.int64)
        return cls(order, start, pair_Q % sids, says_Q, PromptHistory.of(config, trie))

    def gains(self, tokens_L: Int64s, sid_K: Int64s) -> Float64s:
        """What each SID's score gains, [K]: weight * log(its share of what the history's items say + floor).

        An item that was clicked has at least the share returns * RETURN_DECAY^k, with k others clicked since.
        """
        sid_H, clicked_H = self.prompts(tokens_L)
        share_K = np.maximum(self._shares(sid_H, sid_K), self._returns(sid_H[clicked_H], sid_K))
        return self.order.weight * np.log(share_K + self.order.floor)

    def _shares(self, sid_H: Int64s, sid_K: Int64s) -> Float64s:
        count_H = self.start[sid_H + 1] - self.start[sid_H]
        weight_H = self.order.recency ** np.arange(len(sid_H) - 1, -1, -1.0)
        before_H = np.cumsum(count_H) - count_H
        pair_P = np.arange(int(count_H.sum())) + np.repeat(self.start[sid_H] - before_H, count_H)
        said_P = self.says[pair_P] * np.repeat(weight_H, count_H)
        total = said_P.sum()
        if not len(sid_K) or total <= 0:
            return np.zeros(len(sid_K))
        order_K, to_P = np.argsort(sid_K), self.to_sid[pair_P]
        rising_K = sid_K[order_K]
        place_P = np.minimum(np.searchsorted(rising_K, to_P), len(sid_K) - 1)
        listed_P = rising_K[place_P] == to_P
        share_K = np.empty(len(sid_K))
        share_K[order_K] = np.bincount(place_P[listed_P], said_P[listed_P], len(sid_K)) / total
        return share_K

    def _returns(self, clicked_C: Int64s, sid_K: Int64s) -> Float64s:
        if not self.order.returns or not len(clicked_C):
            return np.zeros(len(sid_K))
        # From the last click to the first, each SID where it was clicked last.
        distinct, first = np.unique(clicked_C[::-1], return_index=True)
        since = np.argsort(np.argsort(first))
        place_K = np.minimum(np.searchsorted(distinct, sid_K), len(distinct) - 1)
        share_K = self.order.returns * RETURN_DECAY ** since[place_K].astype(np.float64)
        return np.where(distinct[place_K] == sid_K, share_K, 0.0)
