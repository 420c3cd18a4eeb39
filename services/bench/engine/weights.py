"""Random weights whose scores are spread: near-ties everywhere would make lists of equal hosts differ by rounding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.network.backbone import RMSNorm
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork

# A rank head that looks at everything alike says little about a prompt: its queries and keys are drawn twice as wide.
# The backbone's are not: sharp random layers amplify rounding to 1e-3 in log p, and what stands at lambda's cut then
# differs between kernels that are both right.
SHARP = 2.0
SHARPENED = ("rank_head.q_proj", "rank_head.k_proj")
BIAS_STD = 0.1


def spread_network(config: RankGRConfig, seed: int, dtype: torch.dtype) -> RankGRNetwork:
    """A network in evaluation mode, drawn in float32 and rounded to dtype; equal seeds give equal weights."""
    network = RankGRNetwork(config)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, RMSNorm):
                module.weight.fill_(1.0)
            elif isinstance(module, nn.Embedding):
                module.weight.copy_(_drawn(module.weight, 1.0, chance))
            elif isinstance(module, nn.Linear):
                wide = SHARP if name in SHARPENED else 1.0
                module.weight.copy_(_drawn(module.weight, wide * module.in_features**-0.5, chance))
                if module.bias is not None:
                    module.bias.copy_(_drawn(module.bias, BIAS_STD, chance))
    return network.to(dtype).eval()


def _drawn(like: Tensor, std: float, chance: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=chance) * std
