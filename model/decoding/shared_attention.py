"""Attention of many beams over one prompt: the prompt's keys are read where they lie, never copied per beam.

Each beam's own few tokens are merged in by log-sum-exp.  The batched decoder's beam step uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.decoding.blocks import Blocks
from model.network.attention import AttentionPart, attend, merge

# Shapes: B beams, T prompt tokens, J own tokens of a beam, H heads, K key-value heads, G = H / K,
# E width of a head, Q = B * G.


def attend_shared(
    q_BHE: Tensor, prefix: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], scale: float, blocks: Blocks
) -> Tensor:
    """Heads' outputs [B, H, E] over prefix (k, v) [K, T, E] and own (k, v) [B, J, K, E] together."""
    key_KTE, value_KTE = prefix
    block = blocks.rows(q_BHE.shape[1] * key_KTE.shape[1])
    parts = zip(*(torch.split(x, block) for x in (q_BHE, *own)), strict=True)
    out = [
        merge(_over_prefix(q, key_KTE, value_KTE, scale), _over_own(q, own_key, own_value, scale)).output
        for q, own_key, own_value in parts
    ]
    return torch.cat(out)


def _over_prefix(q_BHE: Tensor, key_KTE: Tensor, value_KTE: Tensor, scale: float) -> AttentionPart:
    beams, _, width = q_BHE.shape
    groups = key_KTE.shape[0]
    # Heads that share a key head stand beside the beams: one matrix product per key head.
    q_KQE = q_BHE.view(beams, groups, -1, width).permute(1, 0, 2, 3).reshape(groups, -1, width)
    part = attend(q_KQE, key_KTE, value_KTE, scale)
    output_BHE = part.output.view(groups, beams, -1, width).transpose(0, 1).reshape(q_BHE.shape)
    lse_BH = part.lse.view(groups, beams, -1).transpose(0, 1).reshape(beams, -1)
    return AttentionPart(output_BHE, lse_BH)


def _over_own(q_BHE: Tensor, key_BJKE: Tensor, value_BJKE: Tensor, scale: float) -> AttentionPart:
    beams, _, width = q_BHE.shape
    q_BKGE = q_BHE.view(beams, key_BJKE.shape[2], -1, width)
    part = attend(q_BKGE, key_BJKE.transpose(1, 2), value_BJKE.transpose(1, 2), scale)
    return AttentionPart(part.output.reshape(q_BHE.shape), part.lse.reshape(beams, -1))
