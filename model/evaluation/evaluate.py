"""Evaluate a method on held-out users: the metrics of every user per truth set, and optionally every list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.data.timelines import HeldOut
from model.evaluation.metrics import metric_names, metrics_of
from model.evaluation.recommender import Ranking, Recommender
from model.evaluation.repeats import FILTERED, NEW, without_seen
from model.evaluation.user_metrics import Metrics, TruthMetrics, UserMetrics

__all__ = ["Evaluated", "Metrics", "evaluate", "measure_users"]


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
    return measure_users(method, users, ks, batch, advance, keep).means()


def measure_users(
    method: Recommender,
    users: Sequence[HeldOut],
    ks: Sequence[int],
    batch: int = 32,
    advance: Callable[[int], None] = lambda _done: None,
    keep: Callable[[Evaluated], None] = lambda _evaluated: None,
) -> UserMetrics:
    """The same for every user, in the order of `users`, which batches do not change.

    Where truths are apart (`with_repeats_apart`), `click_filtered` is `click_new` in the list without what is not new.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for part in _batches(users, batch):
        for place, ranking in zip(part, method([users[place] for place in part]), strict=True):
            user = users[place]
            keep(Evaluated(user, ranking))
            for truth, items in user.truth.items():
                if items:
                    found.setdefault(truth, {})[place] = metrics_of(ranking.item_R, items, ks)
            for truth, values in _filtered(user, ranking, ks):
                found.setdefault(truth, {})[place] = values
        advance(len(part))
    return UserMetrics({truth: _in_order(users, rows, ks) for truth, rows in found.items()})


def _filtered(user: HeldOut, ranking: Ranking, ks: Sequence[int]) -> Iterator[tuple[str, list[float]]]:
    apart = {truth.removesuffix(NEW): items for truth, items in user.truth.items() if items and truth.endswith(NEW)}
    list_R = without_seen(user, ranking.item_R) if apart else ranking.item_R
    for truth, items in apart.items():
        yield f"{truth}{FILTERED}", metrics_of(list_R, items, ks)


def _in_order(users: Sequence[HeldOut], rows: dict[int, list[float]], ks: Sequence[int]) -> TruthMetrics:
    places = sorted(rows)
    values = np.array([rows[place] for place in places], dtype=np.float64)
    return TruthMetrics(tuple(users[place].user for place in places), metric_names(ks), values)


def _batches(users: Sequence[HeldOut], size: int) -> Iterator[list[int]]:
    # Longest histories together: a batch is padded to its longest prompt.
    ordered = sorted(range(len(users)), key=lambda place: len(users[place].items))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
