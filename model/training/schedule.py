"""The optimiser and how its learning rate moves over the budget."""

from __future__ import annotations

import math

import torch

from model.network.network import RankGRNetwork
from model.training.config import OptimiserConfig


def make_optimiser(network: RankGRNetwork, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over what is trained; no decay for vectors: norms and biases."""
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    # The fused form updates a weight in one pass; it has kernels for float weights on the devices that matter.
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


def rate_at(config: OptimiserConfig, done: float) -> float:
    """The learning rate after a share `done` of the budget: a linear rise, then down to final_share of it."""
    if done < config.warmup_share:
        return config.learning_rate * min((done + 1e-3) / config.warmup_share, 1.0)
    rest = min((done - config.warmup_share) / max(1.0 - config.warmup_share, 1e-9), 1.0)
    left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * rest)), "linear": 1.0 - rest, "constant": 1.0}[config.schedule]
    return config.learning_rate * (config.final_share + (1.0 - config.final_share) * left)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The same rate for all weights."""
    for group in optimiser.param_groups:
        group["lr"] = rate
