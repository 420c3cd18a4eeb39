"""Timelines: what a user had done before each request, and what the request then showed to be right.

Called by training, semantic ids and evaluation.  A history never holds what came with or after its request.
"""

# Shapes: F events that count, P distinct (request, item) pairs, R requests, U users, T history, K targets.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.arrays import Bool, Int8, Int64
from model.data.data_set import DataSet
from model.data.log import InteractionLog, Split
from model.data.requests import number_groups


@dataclass(frozen=True, slots=True)
class RequestCircumstances:
    """Where and when a request came; what is unknown is None."""

    scene: str | None
    timestamp_s: int | None
    """Unix seconds of the request's first event; None where the log has no clock."""
    device: str | None

    @property
    def timestamp_ms(self) -> int | None:
        """Unix milliseconds, None where the log has no clock."""
        return None if self.timestamp_s is None else self.timestamp_s * 1000


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One request and what came of it."""

    cut: int
    """The history that it may see is `timeline.items[:cut]`; at least 1."""
    items: Int64
    """[K] distinct items, in the order they first occur."""
    levels: Int8
    """[K] the strongest `Level` each got."""
    circumstances: RequestCircumstances


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One user: the events that make histories, oldest first, and the requests among them."""

    user: str
    items: Int64
    """[T], repeats kept."""
    levels: Int8
    """[T]"""
    timestamps: Int64
    """[T] Unix seconds, or positions where the log has no clock."""
    sessions: tuple[Session, ...]
    """By time, at least one."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """A user's held-out request: the history before it, and the sets of items that were right."""

    user: str
    items: Int64
    """[T], T >= 1, oldest first, repeats kept."""
    levels: Int8
    """[T]"""
    timestamps: Int64
    """[T]"""
    circumstances: RequestCircumstances
    truth: dict[str, frozenset[int]]
    """`click`, `pv` and `purchase`, as far as the request has them; at least one."""


def training_timelines(
    data: DataSet, history_level: Level = Level.CLICK, splits: Sequence[Split] = (Split.TRAIN,)
) -> Iterator[Timeline]:
    """Each user's timeline over the rows of `splits`, user by user, memory linear in the log.

    Histories hold the events of at least `history_level`, pseudo-exposures never.  Requests whose history
    would be empty are left out, and so are users who have no other.  Raises BadDataSet, at once, for a log
    without order.
    """
    need_order(data.log, data.name)
    return log_timelines(data.log, history_level, splits)


def held_out(data: DataSet, split: Split = Split.TEST, history_level: Level = Level.CLICK) -> Iterator[HeldOut]:
    """Each user's held-out request in `split`, with the history from the splits before it.

    The request: of the user's in `split`, the first in time that holds the strongest level the user reaches
    there, which must be a click at least.  Users without a history are left out.  Truth: `click` are the
    request's items of that level or more, in a log that has clicks or clickouts at all; `pv` its exposures;
    `purchase` its purchases proper.  Raises BadDataSet, at once, for a log without order.
    """
    need_order(data.log, data.name)
    return log_held_out(data.log, split, history_level)


def need_order(log: InteractionLog, name: str) -> None:
    """Raise BadDataSet for a log without order; `name` is what people call it."""
    if not log.ordered:
        raise BadDataSet(f"the data set {name} has no order (timestamps are -1) and no histories; use one that has")


def log_timelines(
    log: InteractionLog, history_level: Level = Level.CLICK, splits: Sequence[Split] = (Split.TRAIN,)
) -> Iterator[Timeline]:
    """`training_timelines` of a log with an order, or of a shard of one."""
    return _timelines(log, _history_level(history_level), tuple(splits))


def log_held_out(
    log: InteractionLog, split: Split = Split.TEST, history_level: Level = Level.CLICK
) -> Iterator[HeldOut]:
    """`held_out` of a log with an order, or of a shard of one."""
    return _held_out(log, split, _history_level(history_level))


def _history_level(level: Level) -> int:
    return max(level, Level.EXPOSURE)


def _timelines(log: InteractionLog, history_level: int, splits: tuple[Split, ...]) -> Iterator[Timeline]:
    row_F = np.flatnonzero(np.isin(log.split, splits) & (log.level > 0))
    user_F, level_F = log.user[row_F], log.level[row_F]
    kept_F = level_F >= history_level
    row_T = row_F[kept_F]
    before_F: Int64 = np.cumsum(kept_F) - kept_F
    requests = _Requests.of(log, row_F)

    bounds_U = np.searchsorted(log.user[row_T], np.arange(len(log.users) + 1))
    # Each request is cut at its own first event, even where it goes on among later ones.
    cut_R = before_F[requests.first_R] - bounds_U[user_F[requests.first_R]]
    request_bounds_U = np.searchsorted(user_F[requests.first_R], np.arange(len(log.users) + 1))
    item_T, level_T, timestamp_T = log.item[row_T], log.level[row_T], log.timestamp[row_T]
    for user, name in enumerate(log.users):
        sessions = tuple(
            requests.session(log, request, int(cut_R[request]))
            for request in range(request_bounds_U[user], request_bounds_U[user + 1])
            if cut_R[request] > 0
        )
        if sessions:
            own = slice(bounds_U[user], bounds_U[user + 1])
            yield Timeline(name, item_T[own], level_T[own], timestamp_T[own], sessions)


@dataclass(frozen=True, slots=True, eq=False)
class _Requests:
    """Requests by first event, with their distinct items."""

    first_R: Int64
    """[R] place among the F events of the request's first."""
    row_R: Int64
    """[R] the same in the log."""
    bounds_R: Int64
    """[R + 1] where each request's pairs begin."""
    item_P: Int64
    level_P: Int8

    @classmethod
    def of(cls, log: InteractionLog, row_F: Int64) -> _Requests:
        item_F, level_F = log.item[row_F], log.level[row_F]
        # Numbered anew: where a search came first, a request's first event that counts may be a later one.
        session_F = number_groups(log.session[row_F])
        # Stable: events of a (request, item) pair stay in time order, so a pair's first row is its earliest.
        sorted_F = np.lexsort((item_F, session_F))
        start_P = np.flatnonzero(_changes(session_F[sorted_F]) | _changes(item_F[sorted_F]))
        earliest_P = sorted_F[start_P]
        strongest_P = np.maximum.reduceat(level_F[sorted_F], start_P) if len(start_P) else level_F
        by_time_P = np.lexsort((earliest_P, session_F[earliest_P]))
        first_seen_P = earliest_P[by_time_P]
        start_R = np.flatnonzero(_changes(session_F[first_seen_P]))
        first_R = first_seen_P[start_R]
        return cls(
            first_R=first_R,
            row_R=row_F[first_R],
            bounds_R=np.append(start_R, len(first_seen_P)),
            item_P=item_F[first_seen_P],
            level_P=strongest_P[by_time_P],
        )

    def session(self, log: InteractionLog, request: int, cut: int) -> Session:
        own = slice(self.bounds_R[request], self.bounds_R[request + 1])
        circumstances = _circumstances(log, int(self.row_R[request]))
        return Session(cut, self.item_P[own], self.level_P[own], circumstances)


def _changes(sorted_: Int64) -> Bool:
    changed = np.ones(len(sorted_), np.bool_)
    changed[1:] = sorted_[1:] != sorted_[:-1]
    return changed


def _circumstances(log: InteractionLog, row: int) -> RequestCircumstances:
    scene, device = int(log.scene[row]), int(log.device[row])
    return RequestCircumstances(
        scene=log.scenes[scene] if scene >= 0 else None,
        timestamp_s=int(log.timestamp[row]) if log.clock else None,
        device=log.devices[device] if device >= 0 else None,
    )


def _held_out(log: InteractionLog, split: Split, history_level: int) -> Iterator[HeldOut]:
    purchase = log.behaviors.index("purchase") if "purchase" in log.behaviors else -1
    clicks_exist = bool(np.any((log.level >= Level.CLICK) & (log.behavior != purchase)))
    bounds_U = np.searchsorted(log.user, np.arange(len(log.users) + 1))
    for user, name in enumerate(log.users):
        own = slice(bounds_U[user], bounds_U[user + 1])
        level, session = log.level[own], log.session[own]
        here = log.split[own] == split
        strongest = int(level[here].max(initial=0))
        if strongest < Level.CLICK:
            continue
        chosen = session[np.flatnonzero(here & (level == strongest))[0]]
        in_request = here & (session == chosen)
        first = int(np.flatnonzero(in_request)[0])
        past = np.flatnonzero((level[:first] >= history_level) & (log.split[own][:first] < split))
        if len(past) == 0:
            continue
        item = log.item[own]
        right = {
            "click": in_request & (level >= Level.CLICK) & clicks_exist,
            "pv": in_request & (level == Level.EXPOSURE),
            "purchase": in_request & (log.behavior[own] == purchase),
        }
        yield HeldOut(
            user=name,
            items=item[past],
            levels=level[past],
            timestamps=log.timestamp[own][past],
            circumstances=_circumstances(log, own.start + first),
            truth={truth: frozenset(item[rows].tolist()) for truth, rows in right.items() if rows.any()},
        )
