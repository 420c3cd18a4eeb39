"""The collaborative half of the training: items that users meet together shall be rebuilt alike (FORGE)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Shapes: B pairs, D dimensions.


def contrastive_loss(rebuilt_a: Tensor, rebuilt_b: Tensor, given_a: Tensor, given_b: Tensor, scale: Tensor) -> Tensor:
    """Mean of three symmetric InfoNCE losses over a batch of pairs, all [B, D]; scale: the inverse temperature.

    Rebuilt against rebuilt partner; rebuilt against the partner as given, both ways; rebuilt against the item itself
    as given.  The other pairs of the batch are the negatives.
    """
    a, b, own_a, own_b = (functional.normalize(rows, dim=1) for rows in (rebuilt_a, rebuilt_b, given_a, given_b))
    partners = info_nce(a, b, scale)
    given = (info_nce(a, own_b, scale) + info_nce(b, own_a, scale)) / 2
    itself = (info_nce(a, own_a, scale) + info_nce(b, own_b, scale)) / 2
    return (partners + given + itself) / 3


def info_nce(one_BD: Tensor, other_BD: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of finding row i of the other among all its rows, and the reverse; unit rows, scalar."""
    logits_BB = scale * one_BD @ other_BD.T
    truth_B = torch.arange(len(one_BD), device=one_BD.device)
    forth = functional.cross_entropy(logits_BB, truth_B)
    back = functional.cross_entropy(logits_BB.T, truth_B)
    return (forth + back) / 2
