"""NTP over the history itself: every item in it, given the items before it; what a language model is trained on.

The states are there anyway, so it costs no token.  The paper does not have it (weight `losses.history`, 0 there).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from model.network.attention import wide_dtype
from model.network.network import RankGRNetwork
from model.training.packing import PackedBatch
from model.training.states import States

# Axes: B rows, S tokens, P codes of one level that stand in histories behind something, D width, V codes of a level.


def history_loss(network: RankGRNetwork, batch: PackedBatch, states: States) -> tuple[Tensor, Tensor]:
    """-log p of the histories' codes, each within its level and summed; and their number in items, both scalars."""
    before_BSD, token_BS = states.all_BSD[:, :-1], batch.tokens_BS[:, 1:]
    is_code_BS = batch.history_BS[:, 1:]
    total, codes = before_BSD.new_zeros(()), is_code_BS.sum()
    for level, part in enumerate(network.config.levels, start=1):
        code_BS = token_BS - part.token_offset
        here_BS = is_code_BS & (code_BS >= 0) & (code_BS < part.size)
        logit_PV = network.level_logits(before_BSD[here_BS], level)
        total = total + F.cross_entropy(logit_PV.to(wide_dtype(logit_PV.dtype)), code_BS[here_BS], reduction="sum")
    return total, codes.to(torch.float64) / len(network.config.levels)
