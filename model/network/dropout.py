"""Dropout from a byte of chance a value.

torch's own draws four bytes for each, which on a CPU is a good part of a training step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BYTES = 8
VALUES = 256


def dropout(x: Tensor, share: float) -> Tensor:
    """x with a share of its values at 0 and the rest grown so that the mean stays; any shape, dtype kept.

    The share is rounded to 256ths.  Chance comes from torch's global generator of the device.
    """
    dropped = round(share * VALUES)
    if not dropped:
        return x
    words = torch.empty(-(-x.numel() // BYTES), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    byte = words.view(torch.uint8)[: x.numel()].view(x.shape)
    return x * ((byte >= dropped).to(x.dtype) * (VALUES / (VALUES - dropped)))


class Dropout(nn.Module):
    """The same as a module: idle outside of training."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """x, while training with a share of it left out."""
        return dropout(x, self.share) if self.training else x
