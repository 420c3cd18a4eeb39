"""The same list for everybody: training items by the number of users who clicked them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.baselines.lists import Lists
from model.baselines.train_rows import TrainRows
from model.data.timelines import HeldOut
from model.evaluation.recommender import Ranking


@dataclass(frozen=True, slots=True)
class PopularItems:
    """Fitted by counting; the history has no say."""

    rows: TrainRows
    longest: int

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One list, once per user."""
        ranking = Lists(self.rows, self.longest)(np.arange(len(self.rows)), self.rows.popularity)
        return [ranking] * len(users)
