"""One user's search through one level: beams are extended best first, and those that cannot matter never are.

log s <= 0 (and mu * log p <= 0 where mu >= 0), so a beam whose score is below that of the last pair which would be
kept now cannot bring a better one.  Exact: what is left out could not enter, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.decoding.beams import Beams
from model.decoding.code_table import CodeTable
from model.decoding.pairs import ScoredPairs
from model.decoding.request import DecodePlan
from model.decoding.trie_on_device import TrieLevel

# Shapes: B beams, P pairs in the pool.


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Beams that were there, and those that had to be extended."""

    beams: int
    extended: int


@dataclass(slots=True, eq=False)
class LevelSearch:
    """Beams of `level` - 1 become beams of `level` (1..M).  Not safe to share between threads."""

    plan: DecodePlan
    level: int
    beams: Beams
    table: CodeTable
    _order: Tensor = field(init=False)
    _score: Tensor = field(init=False)
    _parts: list[Beams] = field(default_factory=list)
    _pool: ScoredPairs | None = None
    _taken: int = 0
    _alive: int = 0
    least: float = -torch.inf

    def __post_init__(self) -> None:
        self._alive = len(self.beams)
        if self._whole:
            self._order = torch.arange(len(self.beams), device=self.beams.score.device)
        else:
            self._order = torch.argsort(self.beams.score.float(), descending=True, stable=True)
        self._score = self.beams.score[self._order].float()

    @property
    def _whole(self) -> bool:
        """Whether all beams have to be extended together, in SID order, as lambda is shared by all of them."""
        return self.plan.lambda_scope == "request"

    @property
    def _exact_to_prune(self) -> bool:
        return not self._whole and self.plan.iap_mix >= 0

    @property
    def width(self) -> int:
        """How many pairs are kept in the end."""
        return self.plan.beams[self.level - 1]

    @property
    def figures(self) -> SearchFigures:
        """How much work was saved."""
        return SearchFigures(len(self.beams), self._taken)

    def next_beams(self, most: int) -> Beams | None:
        """The best beams that are not extended yet, at most `most` of them; None when no other can matter."""
        if self._exact_to_prune and self.least > -torch.inf:
            # Scores descend, so the living are the first ones.
            self._alive = int((self._score >= self.least).sum())
        if self._taken >= self._alive:
            return None
        end = self._alive if self._whole else min(self._alive, self._taken + most)
        rows = self._order[self._taken : end]
        self._taken = end
        return self.beams.at(rows)

    def take(self, grown: Beams, scored: ScoredPairs) -> None:
        """Add the scored pairs of beams that `next_beams` gave, in the same order."""
        offset = sum(len(part) for part in self._parts)
        self._parts.append(grown)
        pool = ScoredPairs(scored.row + offset, scored.node, scored.iap, scored.rsp, scored.score)
        if self._pool is not None:
            pool = ScoredPairs(
                *(torch.cat((getattr(self._pool, name), getattr(pool, name))) for name in ScoredPairs.__slots__)
            )
        self._pool = self._cut(pool)

    def _cut(self, pool: ScoredPairs) -> ScoredPairs:
        """Without what cannot be kept any more; ties with the last one stay."""
        if len(pool.score) < self.width:
            return pool
        score_P = pool.score.float()
        least = torch.topk(score_P, self.width, sorted=False).values.min()
        self.least = float(least)
        kept = (score_P >= least).nonzero().squeeze(1)
        return ScoredPairs(pool.row[kept], pool.node[kept], pool.iap[kept], pool.rsp[kept], pool.score[kept])

    def kept(self, trie: TrieLevel) -> Beams:
        """The beams of `level`, in SID order; equal scores (as float32) went to the lower SID."""
        pool = self._pool
        if pool is None:
            return self.beams.at(self._order[:0])
        # Stable twice: by node, then by score.
        by_node = torch.argsort(pool.node)
        best = torch.argsort(pool.score.float()[by_node], descending=True, stable=True)[: self.width]
        at = by_node[best.sort().values]
        beams = Beams.joined(self._parts).at(pool.row[at])
        node = pool.node[at]
        return Beams(
            node=node,
            code=trie.code[node].long(),
            score=pool.score[at],
            iap=torch.cat((beams.iap, pool.iap[at].unsqueeze(1)), 1),
            rsp=torch.cat((beams.rsp, pool.rsp[at].unsqueeze(1)), 1),
            keys=beams.keys,
            values=beams.values,
            own=beams.own,
        )
