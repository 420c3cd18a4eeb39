"""Attention of beams over a prompt that they share and the few tokens that each has alone, merged by log-sum-exp.

The beam step of the decoder uses it; the prompt's keys are read where they lie.
"""

from __future__ import annotations

from torch import Tensor

from model.decoding.prompt_keys import PromptKeys
from model.network.attention import AttentionPart, attend, merge

# Shapes: B beams, J own tokens of a beam, H heads, K key-value heads, G = H / K, E width of a head.


def attend_shared(q_BHE: Tensor, prompt: PromptKeys, depth: int, own: tuple[Tensor, Tensor], scale: float) -> Tensor:
    """Heads' outputs [B, H, E] in a layer (0-based) over the prompt and own (k, v) [B, J, K, E] together."""
    return merge(prompt.attend(depth, q_BHE, scale), _over_own(q_BHE, *own, scale)).output


def _over_own(q_BHE: Tensor, key_BJKE: Tensor, value_BJKE: Tensor, scale: float) -> AttentionPart:
    beams, _, width = q_BHE.shape
    q_BKGE = q_BHE.view(beams, key_BJKE.shape[2], -1, width)
    part = attend(q_BKGE, key_BJKE.transpose(1, 2), value_BJKE.transpose(1, 2), scale)
    return AttentionPart(part.output.reshape(q_BHE.shape), part.lse.reshape(beams, -1))
