"""Balanced assignment of a batch to codes: every code gets about the same share, so that none dies while training.

Used in training alone; at inference an item takes its nearest code.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Shapes: B items of a batch, V codes.
# Distances that differ by less than this are alike.
NO_SPREAD = 1e-12
# What a code that lies out of everybody's reach counts as having got; in double precision nothing is lost above it.
LEAST_MASS = 1e-300


def sinkhorn_codes(distance_BV: Tensor, temperature: float, rounds: int) -> Tensor:
    """A code for every item, int64 [B]: the largest share of the transport plan; ties to the lower code."""
    return sinkhorn_plan(distance_BV, temperature, rounds).argmax(dim=1)


def sinkhorn_plan(distance_BV: Tensor, temperature: float, rounds: int) -> Tensor:
    """Entropic optimal transport between items and codes of equal weight each, float64 [B, V]; rows sum to 1 / B.

    Distances are standardised over the batch (mean 0, deviation 1), so that one temperature suits every stage of
    training.  A round scales columns, then rows.
    """
    items, codes = distance_BV.shape
    spread = distance_BV.std(correction=0).clamp(min=NO_SPREAD)
    # Less each row's least: a factor per row, which the scaling of rows takes out again.
    above_BV = (distance_BV - distance_BV.amin(dim=1, keepdim=True)).double()
    kernel_BV = torch.exp(above_BV / (-temperature * spread.double()))
    row_B = kernel_BV.new_full((items,), 1.0 / items)
    column_V = kernel_BV.new_ones(codes)
    for _ in range(rounds):
        column_V = 1.0 / (codes * (row_B @ kernel_BV).clamp(min=LEAST_MASS))
        row_B = 1.0 / (items * (kernel_BV @ column_V).clamp(min=LEAST_MASS))
    return row_B[:, None] * kernel_BV * column_V
