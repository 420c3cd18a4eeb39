"""Balanced assignment of a batch to codes: every code gets about the same share, so that none dies while training.

Used in training alone; at inference an item takes its nearest code.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Shapes: B items of a batch, V codes.
# Distances that differ by less than this are alike.
NO_SPREAD = 1e-12


def sinkhorn_codes(distance_BV: Tensor, temperature: float, rounds: int) -> Tensor:
    """A code for every item, int64 [B]: the largest share of the transport plan; ties to the lower code.

    The plan is the one of entropic optimal transport between items and codes, both of equal weight, at distances
    standardised over the batch (mean 0, deviation 1), so that one temperature suits every stage of training.
    """
    return sinkhorn_plan(distance_BV, temperature, rounds).argmax(dim=1)


def sinkhorn_plan(distance_BV: Tensor, temperature: float, rounds: int) -> Tensor:
    """Logarithms of the plan [B, V] after so many rounds of columns, then rows: each row then sums to 1 / B."""
    items, codes = distance_BV.shape
    centred_BV = distance_BV - distance_BV.mean()
    log_plan_BV = -centred_BV / (centred_BV.square().mean().sqrt().clamp(min=NO_SPREAD) * temperature)
    for _ in range(rounds):
        log_plan_BV = log_plan_BV - torch.logsumexp(log_plan_BV, dim=0, keepdim=True) - _log(codes)
        log_plan_BV = log_plan_BV - torch.logsumexp(log_plan_BV, dim=1, keepdim=True) - _log(items)
    return log_plan_BV


def _log(count: int) -> float:
    return float(torch.log(torch.tensor(float(count))))
