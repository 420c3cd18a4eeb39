"""Whether a model is worse than the one that serves, on the same users, beyond chance and beyond a threshold."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import BadResults
from model.evaluation.bootstrap import Interval
from model.evaluation.compare import compare
from model.evaluation.user_metrics import UserMetrics


@dataclass(frozen=True, slots=True)
class Fall:
    """One truth's metric: what serves has on average, and candidate minus serving with its 95 % interval."""

    truth: str
    metric: str
    users: int
    serving: float
    difference: Interval

    @property
    def share(self) -> float:
        """How much of the serving model's mean is lost; negative for a gain, 0 where there was nothing to lose."""
        return -self.difference.mean / self.serving if self.serving > 0 else 0.0

    def exceeds(self, most: float) -> bool:
        """Whether it falls by more than the share `most`, and surely falls: the whole interval lies below zero.

        Both, because neither is enough: with few users any two models differ by a large share, and with very many a
        harmless difference is sure.
        """
        return self.share > most and self.difference.high < 0


def falls(candidate: UserMetrics, serving: UserMetrics, metric: str, min_users: int, seed: int = 0) -> list[Fall]:
    """One per truth that both have with at least `min_users` users; none where there are too few."""
    try:
        differences = compare(candidate, serving, seed)
    except BadResults:
        return []
    found = []
    for truth, of in differences.items():
        users = len(serving.truths[truth].users)
        if metric in of and users >= min_users:
            mean = float(serving.truths[truth].column(metric).mean())
            found.append(Fall(truth, metric, users, mean, of[metric]))
    return found
