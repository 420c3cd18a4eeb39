"""Evaluate a method on held-out users: means of the metrics per truth set, and optionally every list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.data.timelines import HeldOut
from model.evaluation.metrics import hit_rate, ndcg
from model.evaluation.recommender import Ranking, Recommender

Metrics = dict[str, dict[str, float]]
"""Truth name -> metric name ("HR@20", "NDCG@10") -> mean over the users that have such a truth."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One user and the list that was made."""

    user: HeldOut
    ranking: Ranking


def evaluate(
    method: Recommender,
    users: Sequence[HeldOut],
    ks: Sequence[int],
    batch: int = 32,
    advance: Callable[[int], None] = lambda _done: None,
    keep: Callable[[Evaluated], None] = lambda _evaluated: None,
) -> Metrics:
    """Metrics of `method` over `users`; `advance` is told how many more are done, `keep` gets every list."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    counts: dict[str, int] = defaultdict(int)
    for part in _batches(users, batch):
        for user, ranking in zip(part, method(part), strict=True):
            keep(Evaluated(user, ranking))
            for name, truth in user.truth.items():
                if not truth:
                    continue
                counts[name] += 1
                for k in ks:
                    sums[name][f"HR@{k}"] += hit_rate(ranking.item_R, truth, k)
                    sums[name][f"NDCG@{k}"] += ndcg(ranking.item_R, truth, k)
        advance(len(part))
    return {name: {metric: total / counts[name] for metric, total in of.items()} for name, of in sums.items()}


def _batches(users: Sequence[HeldOut], size: int) -> Iterator[Sequence[HeldOut]]:
    # Longest histories together: a batch is padded to its longest prompt.
    ordered = sorted(users, key=lambda user: len(user.items))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
