"""What the backbone makes of a packed batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from model.network.backbone import KeptKeys
from model.network.network import RankGRNetwork
from model.training.packing import PackedBatch

# Axes: B rows, S tokens, D width, N sessions, T targets, j codes of a target that are fed.


@dataclass(frozen=True, slots=True)
class States:
    """All states, the ones that decide on a code, and what further tokens need.

    all_BSD; marker_ND: h_1 of each session; code_TjD: h_2 .. h_m of each target; mask_BSS; kept: every layer's keys.
    """

    all_BSD: Tensor
    marker_ND: Tensor
    code_TjD: Tensor
    mask_BSS: Tensor
    kept: KeptKeys

    @classmethod
    def of(cls, network: RankGRNetwork, batch: PackedBatch) -> Self:
        """One pass over the batch."""
        mask_BSS = batch.mask()
        all_BSD, kept = network.model.run(batch.tokens_BS, batch.positions_BS, mask_BSS[:, None])
        row_T = batch.row_N[batch.session_T]
        return cls(
            all_BSD=all_BSD,
            marker_ND=all_BSD[batch.row_N, batch.marker_N],
            code_TjD=all_BSD[row_T[:, None], batch.place_Tm],
            mask_BSS=mask_BSS,
            kept=kept,
        )
