"""RSP's logits of pairs, in plain torch: a code's common part with the beam's own keys merged in (methods.md 1.5).

`pairs_in_torch` asks for them; `merge_on_cuda` is the same in one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from model.decoding.blocks import Blocks
from model.decoding.code_table import CodeRows
from model.network.rank_head import CodePart, Keys, OwnPart, RankHead

# Shapes: B beams, P pairs, C codes with a row in the table, J own keys of a beam, R heads, E width of a head,
# F hidden units.

# From this share of all (beam, code) pairs on, computing all beats gathering those asked for: of 256 x 256
# pairs, 0.3 took 17 ms gathered and 21 ms dense, 0.5 took 36 ms and 21 ms (one thread).
DENSE_SHARE = 0.4


class MergeOwnKeys(Protocol):
    """Logits [P], before the sigmoid, of pairs: row_P (beam, ascending), at_P (row in the table)."""

    def __call__(self, rows: CodeRows, row_P: Tensor, at_P: Tensor, own: Keys) -> Tensor:
        """own: keys and values [B, J, R, E] with J >= 1; the logits' dtype is the head's or float32."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MergeInTorch:
    """In blocks, so that scores against all codes fit.  See `MergeOwnKeys`."""

    head: RankHead
    blocks: Blocks

    def __call__(self, rows: CodeRows, row_P: Tensor, at_P: Tensor, own: Keys) -> Tensor:
        """See `MergeOwnKeys`."""
        beams, keys, heads = own.key.shape[:3]
        hidden_BJRF = self.head.hidden_of(own.value)
        step = self.blocks.rows(len(rows.code) * keys * heads)
        logits: list[Tensor] = []
        for first, start, end in blocks_of(row_P, beams, step):
            some = slice(first, first + step)
            score_BCJR = self.head.own_scores(rows.query, Keys(own.key[some], own.value[some]))
            mine = OwnPart(score_BCJR, hidden_BJRF[some])
            crowded = end - start > DENSE_SHARE * score_BCJR.shape[0] * score_BCJR.shape[1]
            merge = self._dense if crowded else self._sparse
            logits.append(merge(rows.part, mine, row_P[start:end] - first, at_P[start:end]))
        return torch.cat(logits)

    def _dense(self, part: CodePart, own: OwnPart, row_P: Tensor, code_P: Tensor) -> Tensor:
        """Every code under every beam, without gathering, then the pairs that are asked for."""
        step = self.blocks.pairs_of(part.hidden.numel())
        logits_BC = torch.cat(
            [
                self.head.merged_logits(part, OwnPart(score, hidden.unsqueeze(1)))
                for score, hidden in zip(torch.split(own.score, step), torch.split(own.hidden, step), strict=True)
            ]
        )
        return logits_BC[row_P, code_P]

    def _sparse(self, part: CodePart, own: OwnPart, row_P: Tensor, code_P: Tensor) -> Tensor:
        """The pairs alone; what each needs is gathered."""
        step = self.blocks.pairs_of(part.hidden.shape[1] * part.hidden.shape[2])
        each = own.score.flatten(0, 1)
        at_P = row_P * own.score.shape[1] + code_P
        logits: list[Tensor] = []
        for row, code, at in zip(*(torch.split(x, step) for x in (row_P, code_P, at_P)), strict=True):
            base = part.base if len(part.base) == 1 else part.base.index_select(0, code)
            shared = CodePart(part.lse.index_select(0, code), part.hidden.index_select(0, code), base)
            mine = OwnPart(each.index_select(0, at), own.hidden.index_select(0, row))
            logits.append(self.head.merged_logits(shared, mine))
        return torch.cat(logits)


def blocks_of(row_P: Tensor, beams: int, step: int) -> list[tuple[int, int, int]]:
    """Blocks of `step` beams: the first beam, and where its pairs begin and end; row_P ascends."""
    bounds = torch.arange(0, beams + step, step, device=row_P.device).clamp_(max=beams)
    ends = torch.searchsorted(row_P, bounds).tolist()
    return [(block * step, start, end) for block, (start, end) in enumerate(pairwise(ends))]
