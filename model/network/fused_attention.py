"""Attention with its log-sum-exp through torch's fused kernels: the scores are never held.  Without gradients.

Decoding uses it for prompts, beams and the rank head; `attention.attend` is the plain form that it must equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.network.attention import AttentionPart, attend, wide_dtype

# Shapes: G key groups (heads that share keys count once), Q queries of one group, T keys, E width of a head.


def attend_fused(
    query_GQE: Tensor, key_GTE: Tensor, value_GTE: Tensor, scale: float, *, causal: bool = False
) -> AttentionPart:
    """softmax(scale q.k) v [G, Q, E] and its log-sum-exp [G, Q], in at least float32.

    causal: query i sees the keys 0..i; it needs Q = T.
    """
    # The private operators are the public scaled_dot_product_attention's own: that one drops the log-sum-exp.
    # Same names and results from torch 2.11 to 2.13 (tests hold them to the plain form).
    if not query_GQE.shape[1]:
        # The fused kernels divide by the number of queries.
        return AttentionPart(query_GQE, query_GQE.new_empty(query_GQE.shape[:2], dtype=wide_dtype(query_GQE.dtype)))
    # The kernels read a head's numbers as neighbours, whatever the last stride says.
    query, key, value = (
        x[None] if x.stride(-1) == 1 else x[None].contiguous() for x in (query_GQE, key_GTE, value_GTE)
    )
    if query.device.type == "cpu":
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, scale=scale
        )
        return AttentionPart(output[0], lse[0])
    if query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] % 8 == 0:
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )[:2]
        return AttentionPart(output[0], lse[0])
    if query.dtype == torch.float32 and query.shape[-1] % 4 == 0:
        output, lse = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )[:2]
        # Its rows are padded to the kernel's block.
        return AttentionPart(output[0], lse[0, :, : query.shape[2]])
    mask = None
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    part = attend(query_GQE, key_GTE, value_GTE, scale, mask)
    return AttentionPart(part.output, part.lse.to(wide_dtype(part.lse.dtype)))
