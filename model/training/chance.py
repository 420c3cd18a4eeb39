"""Chance that does not depend on who asks, where, or in which order: a number made from a seed and a place.

Several processes, and a run that goes on after a kill, thus draw what one process would have drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Odd multipliers of splitmix64, as signed 64-bit numbers; products wrap around.
_FIRST, _SECOND, _STEP = -4658895280553007687, -7723592293110705685, -7046029254386353131


def uniform_at(seed_G: Tensor, places: int, salt: int) -> Tensor:
    """float32 [G, places] in [0, 1): one number per seed (int64) and place, another for every salt."""
    place_V = torch.arange(1 + salt * places, 1 + (salt + 1) * places, device=seed_G.device)
    mixed_GV = _mixed(seed_G)[:, None] + place_V * _STEP
    return ((_mixed(mixed_GV) >> 40) & 0xFFFFFF).float() / 2.0**24


def _mixed(x: Tensor) -> Tensor:
    """splitmix64's finaliser; >> keeps the sign, hence the masks."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _FIRST
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _SECOND
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
