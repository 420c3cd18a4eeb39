"""RSP for all (beam, code) pairs of a level, by the exact factorisation of methods.md 1.5.

Per user, the history part once per distinct code; per pair, the beam's own keys merged in.  Holds tables that
depend on the weights alone, so a decoder lives as long as its weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.decoding.blocks import Blocks
from model.network.attention import wide_dtype
from model.network.network import RankGRNetwork
from model.network.rank_head import CodePart, Keys, OwnPart

# Shapes: V codes of a level, C distinct codes in use, P pairs, B beams, J own keys of a beam,
# U keys of the prompt, R heads, E width of a head, F hidden units of the MLP.

# From this share of all (beam, code) pairs on, computing all beats gathering those asked for: of 256 x 256
# pairs, 0.3 took 17 ms gathered and 21 ms dense, 0.5 took 36 ms and 21 ms (one thread).
DENSE_SHARE = 0.4


class Pairs(NamedTuple):
    """Candidates of one user, int64 [P] each: row (its beam, ascending), code (ascending in a row)."""

    row: Tensor
    code: Tensor


class RankStage:
    """log s of candidates, for a network whose weights stay as they are."""

    def __init__(self, network: RankGRNetwork, blocks: Blocks) -> None:
        self._blocks = blocks
        self._head = network.rank_head
        self._wide = wide_dtype(network.dtype)
        with torch.inference_mode():
            self._query = [
                self._head.query(network.code_embeddings(level + 1)) for level, _ in enumerate(network.config.levels)
            ]

    def log_scores(self, level: int, pairs: Pairs, shared: Keys, own: Keys | None) -> Tensor:
        """log s [P], float32 or wider, of codes of a level (1..M).

        shared: keys common to all beams [U, R, E]; own: each beam's own [B, J, R, E], None at level 1.
        """
        query_VRE = self._query[level - 1]
        used_V = torch.zeros(len(query_VRE), dtype=torch.bool, device=pairs.code.device)
        used_V[pairs.code] = True
        query_CRE = query_VRE[used_V]
        # A code's number among those in use.
        code_P = (used_V.cumsum(0) - 1)[pairs.code]
        part = self._code_part(query_CRE, shared)
        if own is None:
            logits_P = self._head.merged_logits(part, None)[code_P]
        else:
            logits_P = self._merged(part, query_CRE, Pairs(pairs.row, code_P), own)
        return functional.logsigmoid(logits_P.to(self._wide))

    def _code_part(self, query_CRE: Tensor, shared: Keys) -> CodePart:
        """In blocks of codes, for [C, R, U] scores would not fit at large codebooks."""
        block = self._blocks.rows(query_CRE.shape[1] * len(shared.key))
        parts = [self._head.code_part(query, shared) for query in torch.split(query_CRE, block)]
        lse, hidden, base = zip(*parts, strict=True)
        # Where the query does not enter the MLP, the base is one row for all codes.
        return CodePart(torch.cat(lse), torch.cat(hidden), torch.cat(base) if self._head.with_query else base[0])

    def _merged(self, part: CodePart, query_CRE: Tensor, pairs: Pairs, own: Keys) -> Tensor:
        """Logits [P], in blocks of beams, so that scores against all codes fit."""
        beams, keys, heads = own.key.shape[:3]
        hidden_BJRF = self._head.hidden_of(own.value)
        step = self._blocks.rows(len(query_CRE) * keys * heads)
        bounds = torch.arange(0, beams + step, step, device=pairs.row.device).clamp_(max=beams)
        ends = torch.searchsorted(pairs.row, bounds).tolist()
        logits: list[Tensor] = []
        for block, (start, end) in enumerate(pairwise(ends)):
            rows = slice(block * step, (block + 1) * step)
            score_BCJR = self._head.own_scores(query_CRE, Keys(own.key[rows], own.value[rows]))
            mine = OwnPart(score_BCJR, hidden_BJRF[rows])
            here = Pairs(pairs.row[start:end] - rows.start, pairs.code[start:end])
            crowded = end - start > DENSE_SHARE * score_BCJR.shape[0] * score_BCJR.shape[1]
            logits.append((self._dense if crowded else self._sparse)(part, mine, here))
        return torch.cat(logits)

    def _dense(self, part: CodePart, own: OwnPart, pairs: Pairs) -> Tensor:
        """Every code under every beam, without gathering, then the pairs that are asked for."""
        step = self._blocks.pairs_of(part.hidden.numel())
        logits_BC = torch.cat(
            [
                self._head.merged_logits(part, OwnPart(score, hidden.unsqueeze(1)))
                for score, hidden in zip(torch.split(own.score, step), torch.split(own.hidden, step), strict=True)
            ]
        )
        return logits_BC[pairs.row, pairs.code]

    def _sparse(self, part: CodePart, own: OwnPart, pairs: Pairs) -> Tensor:
        """The pairs alone; what each needs is gathered."""
        step = self._blocks.pairs_of(part.hidden.shape[1] * part.hidden.shape[2])
        each = own.score.flatten(0, 1)
        at_P = pairs.row * own.score.shape[1] + pairs.code
        logits: list[Tensor] = []
        for row, code, at in zip(*(torch.split(x, step) for x in (*pairs, at_P)), strict=True):
            base = part.base if len(part.base) == 1 else part.base.index_select(0, code)
            shared = CodePart(part.lse.index_select(0, code), part.hidden.index_select(0, code), base)
            mine = OwnPart(each.index_select(0, at), own.hidden.index_select(0, row))
            logits.append(self._head.merged_logits(shared, mine))
        return torch.cat(logits)
