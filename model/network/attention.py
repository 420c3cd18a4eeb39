"""Attention in parts: over one set of keys, and over several sets put together by their log-sum-exp.

Backbone, rank head, decoding and training use it; it knows no positions and makes no masks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Shapes: G key groups (heads that share keys count once), Q queries of one group, T keys, E width of a head.


class AttentionPart(NamedTuple):
    """Attention of queries over some of their keys: output [.., E] and log-sum-exp of the scores [..]."""

    output: Tensor
    lse: Tensor


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """Where scores and their exponentials are computed: float64 stays, all else is float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def attend(
    query_GQE: Tensor, key_GTE: Tensor, value_GTE: Tensor, scale: float, key_mask: Tensor | None = None
) -> AttentionPart:
    """softmax(scale q.k) v with its log-sum-exp, leading axes broadcast.

    key_mask bool, broadcastable to [.., G, Q, T]: False hides a key; every query needs one it may see.
    """
    wide = wide_dtype(query_GQE.dtype)
    score_GQT = torch.matmul(query_GQE * scale, key_GTE.transpose(-1, -2)).to(wide)
    if key_mask is not None:
        score_GQT = score_GQT.masked_fill(~key_mask, -torch.inf)
    top_GQ1 = score_GQT.detach().amax(-1, keepdim=True)
    weight_GQT = torch.exp(score_GQT - top_GQ1)
    total_GQ1 = weight_GQT.sum(-1, keepdim=True)
    output_GQE = torch.matmul(weight_GQT.to(value_GTE.dtype), value_GTE) / total_GQ1.to(value_GTE.dtype)
    return AttentionPart(output_GQE, (top_GQ1 + torch.log(total_GQ1)).squeeze(-1))


def merge(one: AttentionPart, other: AttentionPart) -> AttentionPart:
    """Attention over the union of two disjoint sets of keys, exact up to rounding."""
    lse = torch.logaddexp(one.lse, other.lse)
    weight = torch.exp(other.lse - lse).unsqueeze(-1).to(one.output.dtype)
    return AttentionPart(torch.lerp(one.output, other.output, weight), lse)
