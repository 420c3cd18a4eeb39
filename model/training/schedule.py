"""The optimiser and how its learning rate moves over the budget."""

from __future__ import annotations

import math
from typing import Any

import torch

from model.network.network import RankGRNetwork
from model.training.config import OptimiserConfig


def make_optimiser(network: RankGRNetwork, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over what is trained; no decay for vectors: norms and biases.

    A group's key `times` multiplies the rate that `set_rate` gives it.
    """
    embedding = network.model.embed_tokens.weight
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    matrices = [weight for weight in trained if weight.ndim > 1 and weight is not embedding]
    times = config.embedding_rate
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": [weight for weight in trained if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    if embedding.requires_grad:
        # AdamW decays by rate times decay: a faster rate is no reason to forget faster.
        groups.append({"params": [embedding], "weight_decay": config.weight_decay / times, "times": times})
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
    """This rate for all weights, and its multiple for those of a group that has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
