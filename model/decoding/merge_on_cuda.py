"""RSP's logits of pairs on a CUDA device: gather, merge by log-sum-exp, MLP, one Triton kernel, nothing in between.

The same arithmetic as `merge_own_keys`, in float32 whatever the weights' dtype.  Where there is no GPU, Triton's
interpreter runs it (TRITON_INTERPRET=1): the tests do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.decoding.code_table import CodeRows
from model.network.rank_head import Keys, RankHead

# Shapes: B beams, P pairs, C codes with a row in the table, J own keys of a beam, R heads, E width of a head,
# F hidden units, S pairs of one program.

PAIRS_A_PROGRAM = 32


@dataclass(frozen=True, slots=True, eq=False)
class MergeOnCuda:
    """See `MergeOwnKeys`; logits are float32."""

    head: RankHead

    def __call__(self, rows: CodeRows, row_P: Tensor, at_P: Tensor, own: Keys) -> Tensor:
        """See `MergeOwnKeys`."""
        logit_P = torch.empty(len(row_P), dtype=torch.float32, device=row_P.device)
        units = self.head.fc2.in_features
        if len(row_P):
            _merged_logits[(triton.cdiv(len(row_P), PAIRS_A_PROGRAM),)](
                logit_P,
                row_P,
                at_P,
                rows.part.lse.float().contiguous(),
                rows.part.hidden.float().contiguous(),
                rows.part.base.float().contiguous(),
                self.head.own_scores(rows.query, own).float().contiguous(),
                self.head.hidden_of(own.value).float().contiguous(),
                self.head.fc2.weight.float().contiguous(),
                self.head.fc2.bias.float(),
                len(row_P),
                len(rows.code),
                HAS_BASE=self.head.with_query,
                HEADS=self.head.heads,
                KEYS=own.key.shape[1],
                UNITS=units,
                UNITS_2=triton.next_power_of_2(units),
                PAIRS=PAIRS_A_PROGRAM,
            )
        return logit_P


@triton.jit  # type: ignore[untyped-decorator]
def _merged_logits(  # type: ignore[no-untyped-def]  # noqa: ANN202, PLR0913
    logit_ptr: Any,  # noqa: ANN401
    row_ptr: Any,  # noqa: ANN401
    at_ptr: Any,  # noqa: ANN401
    lse_ptr: Any,  # noqa: ANN401
    hidden_ptr: Any,  # noqa: ANN401
    base_ptr: Any,  # noqa: ANN401
    score_ptr: Any,  # noqa: ANN401
    own_ptr: Any,  # noqa: ANN401
    weight_ptr: Any,  # noqa: ANN401
    bias_ptr: Any,  # noqa: ANN401
    pairs: Any,  # noqa: ANN401
    codes: Any,  # noqa: ANN401
    HAS_BASE: tl.constexpr,
    HEADS: tl.constexpr,
    KEYS: tl.constexpr,
    UNITS: tl.constexpr,
    UNITS_2: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """logit [P] from lse [C, R], hidden [C, R, F], base [C or 1, F], score [B, C, J, R], own [B, J, R, F]."""
    pair_S = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    inside_S = pair_S < pairs
    row_S = tl.load(row_ptr + pair_S, inside_S, 0)
    at_S = tl.load(at_ptr + pair_S, inside_S, 0)
    unit_F = tl.arange(0, UNITS_2)
    inside_F = unit_F < UNITS
    inside_SF = inside_S[:, None] & inside_F[None, :]
    base_S = at_S if HAS_BASE else at_S * 0
    x_SF = tl.load(base_ptr + base_S[:, None] * UNITS + unit_F[None, :], inside_SF, 0.0)
    for head in tl.static_range(HEADS):
        lse_S = tl.load(lse_ptr + at_S * HEADS + head, inside_S, 0.0)
        top_S = lse_S
        for key in tl.static_range(KEYS):
            place_S = ((row_S * codes + at_S) * KEYS + key) * HEADS + head
            top_S = tl.maximum(top_S, tl.load(score_ptr + place_S, inside_S, 0.0))
        share_S = tl.exp(lse_S - top_S)
        total_S = share_S
        hidden_SF = tl.load(hidden_ptr + (at_S * HEADS + head)[:, None] * UNITS + unit_F[None, :], inside_SF, 0.0)
        mixed_SF = share_S[:, None] * hidden_SF
        for key in tl.static_range(KEYS):
            place_S = ((row_S * codes + at_S) * KEYS + key) * HEADS + head
            share_S = tl.exp(tl.load(score_ptr + place_S, inside_S, 0.0) - top_S)
            total_S += share_S
            mine_S = (row_S * KEYS + key) * HEADS + head
            own_SF = tl.load(own_ptr + mine_S[:, None] * UNITS + unit_F[None, :], inside_SF, 0.0)
            mixed_SF += share_S[:, None] * own_SF
        x_SF += mixed_SF / total_S[:, None]
    weight_F = tl.load(weight_ptr + unit_F, inside_F, 0.0)
    silu_SF = x_SF / (1.0 + tl.exp(-x_SF))
    logit_S = tl.sum(silu_SF * weight_F[None, :], 1) + tl.load(bias_ptr)
    tl.store(logit_ptr + pair_S, logit_S, inside_S)
