"""Values per target, side by side per session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

# Axes: T targets, N sessions, K targets of a session (padded).


@dataclass(frozen=True, slots=True)
class Fold:
    """Per-target values [T] into padded rows per session [N, K]; padding is 0.  session_T rises."""

    session_T: Tensor
    place_T: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, session_T: Tensor, sessions: int) -> Self:
        """The fold of these owners, of so many sessions."""
        place_T = torch.arange(len(session_T), device=session_T.device) - torch.searchsorted(session_T, session_T)
        return cls(session_T, place_T, (sessions, int(place_T.max()) + 1))

    def __call__(self, value_T: Tensor) -> Tensor:
        """[N, K]."""
        return value_T.new_zeros(self.shape).index_put((self.session_T, self.place_T), value_T)
