"""What all beams of one user share: the prompt's keys and values, its rank-head keys, and h_1.

The torch host computes them (`prefill`) and keeps them (`prefix_cache`); vLLM's worker reads them from its paged
cache.  Beams attend to them where they lie; nothing here is copied per beam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.network.attention import AttentionPart, merge
from model.network.fused_attention import attend_fused
from model.network.rank_head import Keys

# Shapes: T prompt tokens, P of them known and S new, U keys of the rank head, B beams, D hidden size, H heads,
# K key-value heads, E width of a head, R heads of the rank head.


class PromptKeys(Protocol):
    """A prompt that went through the backbone."""

    @property
    def length(self) -> int:
        """T."""
        ...

    @property
    def state(self) -> Tensor:
        """h_1 [D]: the final state of the last token."""
        ...

    @property
    def rank_keys(self) -> Keys:
        """Keys and values [U, R, E] that the rank head has in common for all beams, h_1's last."""
        ...

    @property
    def usable(self) -> bool:
        """Whether all states are finite."""
        ...

    def attend(self, depth: int, q_BHE: Tensor, scale: float) -> AttentionPart:
        """Attention of beams over the whole prompt in layer `depth` (0-based): [B, H, E] and [B, H]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ContiguousKeys:
    """Prompt keys in tensors of their own: keys, values per layer [K, T, E]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    state: Tensor
    rank_keys: Keys
    usable: bool

    @property
    def length(self) -> int:
        """T."""
        return self.keys[0].shape[1]

    def attend(self, depth: int, q_BHE: Tensor, scale: float) -> AttentionPart:
        """See `PromptKeys`."""
        return attend_to_all(q_BHE, self.keys[depth], self.values[depth], scale)


def attend_to_all(q_BHE: Tensor, key_KTE: Tensor, value_KTE: Tensor, scale: float) -> AttentionPart:
    """Every query over every key: output [B, H, E], log-sum-exp [B, H]."""
    beams, heads, width = q_BHE.shape
    groups = key_KTE.shape[0]
    # Heads that share a key head stand beside the beams, so that its keys are read once for all of them.
    q_KQE = q_BHE.view(beams, groups, -1, width).transpose(0, 1).reshape(groups, -1, width)
    part = attend_fused(q_KQE, key_KTE, value_KTE, scale)
    output_BHE = part.output.view(groups, beams, -1, width).transpose(0, 1).reshape(beams, heads, width)
    return AttentionPart(output_BHE, part.lse.view(groups, beams, -1).transpose(0, 1).reshape(beams, heads))


def attend_onwards(q_SHE: Tensor, own: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor] | None) -> Tensor:
    """Outputs [S, H, E] of a prompt's next tokens over what came before (k, v) [K, P, E] and, causally, themselves.

    own: their (k, v) [K, S, E].
    """
    scale = q_SHE.shape[-1] ** -0.5
    group = q_SHE.shape[1] // len(own[0])
    key_HSE, value_HSE = (part.unsqueeze(1).expand(-1, group, -1, -1).flatten(0, 1) for part in own)
    causal = attend_fused(q_SHE.transpose(0, 1), key_HSE, value_HSE, scale, causal=True)
    output_SHE = causal.output.transpose(0, 1)
    if before is None:
        return output_SHE
    return merge(attend_to_all(q_SHE, *before, scale), AttentionPart(output_SHE, causal.lse.transpose(0, 1))).output


def rows_of_keys(keys: Keys, at_U: Tensor | None) -> Keys:
    """The keys at these positions; None: all of them, without a copy."""
    if at_U is None:
        return keys
    return Keys(torch.index_select(keys.key, 0, at_U), torch.index_select(keys.value, 0, at_U))
