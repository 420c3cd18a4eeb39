"""One level for one user: candidates by IAP inside the trie, their RSP scores, the best pairs as new beams.

The batched decoder calls it once per level and user; no prompt is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from contracts.errors import EngineFailed
from model.decoding.beams import Beams
from model.decoding.blocks import Blocks
from model.decoding.rank_stage import Pairs, RankStage
from model.decoding.request import DecodePlan
from model.decoding.select import best_per_row, best_positions
from model.network.attention import wide_dtype
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys
from model.semantic_id.trie import Removed, Trie

# Shapes: B beams, P (beam, code) pairs in SID order, V codes of the level, D hidden size.


@dataclass(frozen=True, slots=True, eq=False)
class LevelOfTrie:
    """A level's nodes on the device: code int64 [W_l], child_start int64 [W_{l-1} + 1]."""

    code: Tensor
    child_start: Tensor

    @classmethod
    def all_of(cls, trie: Trie, device: torch.device) -> tuple[LevelOfTrie, ...]:
        """Level 1 first."""
        return tuple(
            cls(torch.from_numpy(code).to(device, torch.int64), torch.from_numpy(start).to(device))
            for code, start in zip(trie.code, trie.child_start, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs of one level that are left: row, node, code int64 [P]; iap [P], log p in the scores' dtype."""

    row: Tensor
    node: Tensor
    code: Tensor
    iap: Tensor

    def only(self, kept: Tensor) -> Candidates:
        """Those at these positions, or where the mask is True."""
        return Candidates(self.row[kept], self.node[kept], self.code[kept], self.iap[kept])


@dataclass(frozen=True, slots=True, eq=False)
class ExtendBeams:
    """Knows the network, the trie and the rank stage; keeps nothing of a request."""

    network: RankGRNetwork
    trie: tuple[LevelOfTrie, ...]
    rank: RankStage
    blocks: Blocks

    def __call__(
        self, level: int, plan: DecodePlan, removed: Removed, shared: Keys, before: tuple[Beams, Tensor]
    ) -> Beams:
        """Beams of `level` (1..M) from those before and their states [B, D].  Raises EngineFailed for NaN."""
        beams, state_BD = before
        found = self._candidates(level, plan, removed, beams, state_BD)
        rsp_P = self.rank.log_scores(level, Pairs(found.row, found.code), shared, beams.own).double()
        gain_P = rsp_P + plan.iap_mix * found.iap.double() if plan.iap_mix else rsp_P
        score_P = beams.score[found.row] + gain_P
        if not bool(torch.isfinite(score_P).all()):
            raise EngineFailed(f"the model's scores are not finite at level {level}")
        # As stored: what rounds to the same float32 is a tie, and goes to the lower SID.
        kept = best_positions(score_P.float(), plan.beams[level - 1])
        row = found.row[kept]
        return Beams(
            node=found.node[kept],
            code=found.code[kept],
            score=score_P[kept],
            iap=torch.cat((beams.iap[row], found.iap[kept].double().unsqueeze(1)), 1),
            rsp=torch.cat((beams.rsp[row], rsp_P[kept].unsqueeze(1)), 1),
            keys=tuple(key[row] for key in beams.keys),
            values=tuple(value[row] for value in beams.values),
            own=None if beams.own is None else Keys(beams.own.key[row], beams.own.value[row]),
        )

    def _candidates(self, level: int, plan: DecodePlan, removed: Removed, beams: Beams, state_BD: Tensor) -> Candidates:
        """Living codes under each beam, the top lambda of them by log p; ties go to the lower code."""
        part = self.trie[level - 1]
        first_B = part.child_start[beams.node]
        count_B = part.child_start[beams.node + 1] - first_B
        row_P = torch.repeat_interleave(count_B)
        node_P = torch.arange(len(row_P), device=row_P.device) + (first_B - count_B.cumsum(0) + count_B)[row_P]
        dead = torch.from_numpy(removed.dead[level - 1]).to(row_P.device)
        if len(dead):
            at_P = torch.searchsorted(dead, node_P).clamp_(max=len(dead) - 1)
            alive_P = dead[at_P] != node_P
            row_P, node_P = row_P[alive_P], node_P[alive_P]
        code_P = part.code[node_P]
        found = Candidates(row_P, node_P, code_P, self._iap(level, state_BD, row_P, code_P))
        most = plan.lambdas[level - 1]
        if plan.lambda_scope == "request":
            kept = best_positions(beams.iap.sum(1)[row_P] + found.iap.double(), most)
            return found.only(kept)
        best_P = best_per_row(found.iap, row_P, torch.bincount(row_P, minlength=len(beams)), most)
        return found if best_P is None else found.only(best_P)

    def _iap(self, level: int, state_BD: Tensor, row_P: Tensor, code_P: Tensor) -> Tensor:
        """log p [P]: log-softmax over the whole level slice, read at the pairs; in blocks of beams."""
        size = self.network.config.levels[level - 1].size
        step = self.blocks.rows(size)
        bounds = torch.arange(0, len(state_BD) + step, step, device=row_P.device).clamp_(max=len(state_BD))
        ends = torch.searchsorted(row_P, bounds).tolist()
        logp: list[Tensor] = []
        for block, (start, end) in enumerate(pairwise(ends)):
            first = block * step
            logits_BV = self.network.level_logits(state_BD[first : first + step], level)
            logits_BV = logits_BV.to(wide_dtype(logits_BV.dtype))
            row = row_P[start:end] - first
            logp.append(logits_BV[row, code_P[start:end]] - torch.logsumexp(logits_BV, -1)[row])
        return torch.cat(logp)
