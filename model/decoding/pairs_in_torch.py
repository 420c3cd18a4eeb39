"""Scoring pairs in plain torch: any device, any dtype, lambda per prefix or per request.

The fused forms are held against it; it is held against the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from contracts.errors import EngineFailed
from model.decoding.beams import Beams
from model.decoding.blocks import Blocks
from model.decoding.code_table import CodeRows
from model.decoding.decodable import Decodable
from model.decoding.merge_own_keys import MergeOwnKeys, blocks_of
from model.decoding.pairs import Part, ScoredPairs
from model.decoding.select import best_per_row, best_positions
from model.decoding.trie_on_device import TrieLevel
from model.network.attention import wide_dtype
from model.network.rank_head import Keys
from model.semantic_id.catalog import Int64s

# Shapes: B beams, P pairs, V codes of the level, D hidden size.


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs that IAP lets through: row, node, code int64 [P]; iap [P], log p in the scores' dtype."""

    row: Tensor
    node: Tensor
    code: Tensor
    iap: Tensor

    def only(self, kept: Tensor) -> Candidates:
        """Those at these positions, or where the mask is True."""
        return Candidates(self.row[kept], self.node[kept], self.code[kept], self.iap[kept])


@dataclass(frozen=True, slots=True, eq=False)
class PairsInTorch:
    """Knows the network and the trie; keeps nothing of a request.  See `PairScorer`."""

    network: Decodable
    trie: tuple[TrieLevel, ...]
    blocks: Blocks
    merge: MergeOwnKeys

    def __call__(self, level: int, parts: Sequence[Part]) -> list[ScoredPairs | EngineFailed]:
        """See `PairScorer`."""
        return [self._scored(level, part) for part in parts]

    def _scored(self, level: int, part: Part) -> ScoredPairs | EngineFailed:
        found = self._candidates(level, part)
        used_V = torch.zeros(self.network.config.levels[level - 1].size, dtype=torch.bool, device=found.code.device)
        used_V[found.code] = True
        rsp_P = self._log_scores(part.table.rows_for(used_V), found, part.beams.own).double()
        iap_P = found.iap.double()
        score_P = part.beams.score[found.row] + rsp_P
        if part.plan.iap_mix:
            score_P = score_P + part.plan.iap_mix * iap_P
        if not bool(torch.isfinite(score_P + iap_P).all()):
            return EngineFailed(f"the model's scores are not finite at level {level}")
        scored = ScoredPairs(found.row, found.node, iap_P, rsp_P, score_P)
        if part.least == -torch.inf:
            return scored
        reached = (score_P.float() >= part.least).nonzero().squeeze(1)
        return ScoredPairs(found.row[reached], found.node[reached], iap_P[reached], rsp_P[reached], score_P[reached])

    def _candidates(self, level: int, part: Part) -> Candidates:
        """Living codes under each beam, cut to lambda."""
        found = living_pairs(self.trie[level - 1], part.beams, part.dead)
        iap_P = self._iap(level, part.state, found.row, found.code)
        found = Candidates(found.row, found.node, found.code, iap_P)
        most = part.plan.lambdas[level - 1]
        if part.plan.lambda_scope == "request":
            return found.only(best_positions(part.beams.iap.sum(1)[found.row] + iap_P.double(), most))
        best_P = best_per_row(iap_P, found.row, torch.bincount(found.row, minlength=len(part.beams)), most)
        return found if best_P is None else found.only(best_P)

    def _iap(self, level: int, state_BD: Tensor, row_P: Tensor, code_P: Tensor) -> Tensor:
        """log p [P]: log-softmax over the whole level slice, read at the pairs; in blocks of beams."""
        weight_VD = self.network.code_embeddings(level)
        step = self.blocks.rows(len(weight_VD))
        logp: list[Tensor] = []
        for first, start, end in blocks_of(row_P, len(state_BD), step):
            logits_BV = functional.linear(state_BD[first : first + step], weight_VD)
            logits_BV = logits_BV.to(wide_dtype(logits_BV.dtype))
            row = row_P[start:end] - first
            logp.append(logits_BV[row, code_P[start:end]] - torch.logsumexp(logits_BV, -1)[row])
        return torch.cat(logp)

    def _log_scores(self, rows: CodeRows, pairs: Candidates, own: Keys | None) -> Tensor:
        """log s [P], float32 or wider."""
        at_P = rows.row[pairs.code]
        if own is None:
            logits_P = self.network.rank_head.merged_logits(rows.part, None)[at_P]
        else:
            logits_P = self.merge(rows, pairs.row, at_P, own)
        return functional.logsigmoid(logits_P.to(wide_dtype(logits_P.dtype)))


def living_pairs(level: TrieLevel, beams: Beams, dead: Int64s) -> Candidates:
    """Every living child of every beam, rows ascending; iap is still empty."""
    first_B = level.start[beams.node]
    count_B = level.start[beams.node + 1] - first_B
    row_P = torch.repeat_interleave(count_B)
    node_P = torch.arange(len(row_P), device=row_P.device) + (first_B - count_B.cumsum(0) + count_B)[row_P]
    if len(dead):
        dead_Z = torch.from_numpy(dead).to(row_P.device)
        at_P = torch.searchsorted(dead_Z, node_P).clamp_(max=len(dead_Z) - 1)
        alive_P = dead_Z[at_P] != node_P
        row_P, node_P = row_P[alive_P], node_P[alive_P]
    return Candidates(row_P, node_P, level.code[node_P].long(), torch.empty(0, device=row_P.device))
