"""A bundle and a way to decode become a method that evaluation can ask; without the trie, too."""

# Shapes: W combinations of codes, M levels, R items of a list.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadRequest
from model.bundle.read import Bundle
from model.data.timelines import HeldOut
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.recommender import Generative, Ranking, Recommender
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from model.study.variants import Decoding

# A table of all combinations has 28 bytes a row with two levels.
MOST_COMBINATIONS = 2**24


class TooManyCombinations(BadRequest):
    """Every combination of codes would have to be listed to decode without a trie."""


def method_of(bundle: Bundle, decoding: Decoding, longest: int) -> Recommender:
    """What makes the lists of a variant.  Raises TooManyCombinations without the trie of a large one."""
    network = bundle.network()
    if not decoding.rank_head:
        network.rank_head.silence()
    if not decoding.trie:
        return WithoutTrie.of(bundle, network, decoding, longest)
    decoder = TwoStageDecoder(network, bundle.catalog, neighbours=bundle.neighbours if decoding.neighbours else None)
    return Generative(decoder, bundle.prompt_format, bundle.catalog, lambdas=decoding.lambdas, iap_mix=decoding.iap_mix)


@dataclass(slots=True, eq=False)
class WithoutTrie:
    """Decodes over all combinations of codes; those that are no item's are dropped from the list, and counted."""

    lists: Generative
    trie: Trie
    item_of_sid: NDArray[np.int64]
    """[W] node of the real trie's last level, -1 where no item has this id."""
    catalog: Catalog
    longest: int
    invalid: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """By user, best first: which of the ids found are no item's."""

    @classmethod
    def of(cls, bundle: Bundle, network: RankGRNetwork, decoding: Decoding, longest: int) -> WithoutTrie:
        sizes = bundle.catalog.level_sizes
        combinations = int(np.prod(sizes, dtype=np.int64))
        if combinations > MOST_COMBINATIONS:
            raise TooManyCombinations(f"{combinations:,} combinations of codes are too many to decode without a trie")
        everything = Catalog(
            item_id=np.arange(combinations),
            codes=np.stack(np.unravel_index(np.arange(combinations), sizes), 1).astype(np.int32),
            popularity=np.zeros(combinations, np.float32),
            level_sizes=sizes,
        )
        trie = Trie.of_catalog(bundle.catalog)
        node_W = np.full(combinations, -1, np.int64)
        node_W[np.ravel_multi_index(tuple(trie.sids.T.astype(np.int64)), sizes)] = np.arange(len(trie.sids))
        decoder = TwoStageDecoder(network, everything)
        lists = Generative(
            decoder, bundle.prompt_format, bundle.catalog, lambdas=decoding.lambdas, iap_mix=decoding.iap_mix
        )
        return cls(lists, trie, node_W, bundle.catalog, longest)

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """Lists of the real items behind the ids found."""
        found = []
        for user, ranking in zip(users, self.lists(users), strict=True):
            node_R = self.item_of_sid[ranking.item_R]
            self.invalid[user.user] = node_R < 0
            real = node_R >= 0
            rows, scores = self._items(node_R[real], ranking.score_R[real])
            found.append(Ranking(self.catalog.item_id[rows[: self.longest]], scores[: self.longest]))
        return found

    def invalid_share(self, users: Sequence[HeldOut], k: int) -> NDArray[np.float64]:
        """Of every user's best k ids the share that is no item's; 1 where none was found."""
        return np.array([float(self.invalid[user.user][:k].mean()) for user in users])

    def _items(
        self, node_R: NDArray[np.int64], score_R: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        start, end = self.trie.item_start[node_R], self.trie.item_start[node_R + 1]
        rows = [self.trie.item_rows[a:b] for a, b in zip(start, end, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *rows]), np.repeat(score_R, end - start)
