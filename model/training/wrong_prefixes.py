"""Prefixes that training would never feed: the model's own mistakes at level 1, with their states (A14).

When serving, most of the prefixes that a beam holds are wrong; a rank head that never met one cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.network import RankGRNetwork
from model.training.fold import Fold
from model.training.packing import PackedBatch
from model.training.states import States

# Axes: B rows, X further tokens of a row (padded), S tokens of a row, G prefixes, D width.


@dataclass(frozen=True, slots=True)
class WrongPrefixes:
    """First codes and the batch's sessions they are tried in, both [G]; sessions rise."""

    session_G: Tensor
    code_G: Tensor

    def states(self, network: RankGRNetwork, batch: PackedBatch, states: States) -> Tensor:
        """h_2 [G, D] after the session's prompt and this code, as if it had been a target of the session."""
        if not len(self.code_G):
            return states.marker_ND[:0]
        row_G = batch.row_N[self.session_G]
        fold = Fold.of(row_G, len(batch.tokens_BS))
        token_G = self.code_G + network.config.levels[0].token_offset
        marker_G = batch.marker_N[self.session_G]
        position_G = batch.positions_BS[row_G, marker_G] + 1
        # It sees what the marker sees.  Padding sees itself alone.
        mask_BXS = torch.zeros((*fold.shape, batch.tokens_BS.shape[1]), dtype=torch.bool, device=row_G.device)
        mask_BXS[row_G, fold.place_T] = states.mask_BSS[row_G, marker_G]
        state_BXD = network.model.extend(fold(token_G), fold(position_G), mask_BXS, states.kept)
        return state_BXD[row_G, fold.place_T]
