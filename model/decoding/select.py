"""Top-k with a tie rule, on any device: among equals the one that stands first wins.

torch's own topk leaves ties open, and a replay must give the same list.  Used at every cut of the decoding.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Shapes: P values in a fixed order, R rows, W longest row.


def best_positions(value_P: Tensor, most: int) -> Tensor:
    """Positions of the `most` greatest values (all, if there are fewer), ascending; no NaN allowed."""
    if len(value_P) <= most:
        return torch.arange(len(value_P), device=value_P.device)
    return _first_among_equals(value_P.unsqueeze(0), most).squeeze(0).nonzero().squeeze(1)


def best_per_row(value_P: Tensor, row_P: Tensor, count_R: Tensor, most: int) -> Tensor | None:
    """bool [P]: the `most` greatest values of each row; None when every row keeps all it has.

    Rows stand one after the other, row_P ascending, count_R values each.
    """
    if not len(value_P) or int(count_R.max()) <= most:
        return None
    place_P = torch.arange(len(value_P), device=value_P.device) - (count_R.cumsum(0) - count_R)[row_P]
    padded_RW = value_P.new_full((len(count_R), int(count_R.max())), -torch.inf)
    padded_RW[row_P, place_P] = value_P
    return _first_among_equals(padded_RW, most)[row_P, place_P]


def order_of(score: Tensor) -> Tensor:
    """Positions by descending value; equals keep their order."""
    return torch.argsort(score, descending=True, stable=True)


def _first_among_equals(value_RW: Tensor, most: int) -> Tensor:
    """bool [R, W]: all above a row's most-th greatest value, and the first of its equals; most <= W."""
    least_R1 = value_RW.topk(most, -1, sorted=False).values.amin(-1, keepdim=True)
    above_RW = value_RW > least_R1
    equal_RW = value_RW == least_R1
    room_R1 = most - above_RW.sum(-1, keepdim=True)
    return above_RW | (equal_RW & (equal_RW.cumsum(-1) <= room_R1))
