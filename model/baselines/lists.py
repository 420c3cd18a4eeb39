"""Scores of items to lists: best first, ties to the lower id, and popularity behind what has no score."""

# Shapes: N items, S items with a score, R items of a list.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.baselines.train_rows import TrainRows
from model.data.arrays import Int64
from model.evaluation.recommender import Ranking


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Makes lists of at most `longest` items; popularity fills them, so that every list is as long as it can be."""

    rows: TrainRows
    longest: int

    def __call__(self, row_S: Int64, score_S: NDArray[np.floating]) -> Ranking:
        """Distinct rows with finite scores; the rows that fill up get scores below all of these."""
        if len(row_S) > self.longest:
            # What ties with the last place stays in, so that the order below decides.
            last = np.partition(score_S, -self.longest)[-self.longest]
            row_S, score_S = row_S[score_S >= last], score_S[score_S >= last]
        order_S = np.lexsort((row_S, -score_S))[: self.longest]
        row_R, score_R = row_S[order_S], score_S[order_S].astype(np.float32)
        if len(row_R) < self.longest:
            popular = self.rows.popular[: self.longest]
            behind = popular[~np.isin(popular, row_R)][: self.longest - len(row_R)]
            lowest = float(score_R.min(initial=0.0))
            filled = lowest - 1.0 - np.arange(len(behind), dtype=np.float32)
            row_R, score_R = np.concatenate([row_R, behind]), np.concatenate([score_R, filled])
        return Ranking(self.rows.item_id[row_R], score_R)
