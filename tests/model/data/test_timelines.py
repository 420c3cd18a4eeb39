"""Timelines: no future in a history, the strongest level of each item, the held-out request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.assemble_log import Named, RawEvents, assemble_log
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import InteractionLog, Split
from model.data.timelines import RequestCircumstances, held_out, training_timelines

T = 1_700_000_000
RandomData = Callable[[int], DataSet]
# (user, item, behavior, seconds after T, request, split)
Row = tuple[int, int, str, int, int, Split]


def data_of(rows: list[Row], clock: bool = True) -> DataSet:
    names = sorted({row[2] for row in rows})
    unknown = np.full(len(rows), -1, np.int32)
    log = assemble_log(
        RawEvents(
            user=Named(tuple(f"u{n}" for n in range(max(r[0] for r in rows) + 1)), _column(rows, 0).astype(np.int32)),
            item=_column(rows, 1),
            behavior=Named(tuple(names), np.array([names.index(row[2]) for row in rows], np.int32)),
            timestamp=_column(rows, 3) + (T if clock else 1),
            request=_column(rows, 4),
            split=_column(rows, 5).astype(np.int8),
            scene=Named(("home",), unknown + 1),
            device=Named((), unknown),
        )
    )
    ids = np.unique(log.item)
    return DataSet("made", log, ItemTable(ids, ("",) * len(ids), ("",) * len(ids)))


def _column(rows: list[Row], place: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([row[place] for row in rows], np.int64)


TRAIN, VALID, TEST = Split


def test_a_request_sees_what_came_before_it_and_keeps_each_items_strongest_level() -> None:
    data = data_of(
        [
            (0, 5, "click", 0, 0, TRAIN),
            (0, 7, "pseudo_exposure", 10, 1, TRAIN),
            (0, 5, "exposure", 10, 1, TRAIN),
            (0, 6, "exposure", 10, 1, TRAIN),
            (0, 6, "click", 11, 1, TRAIN),
            (0, 6, "purchase", 12, 1, TRAIN),
            (0, 9, "search", 13, 1, TRAIN),
            (0, 8, "cart", 20, 2, TRAIN),
        ]
    )
    (timeline,) = training_timelines(data)
    assert timeline.user == "u0"
    assert timeline.items.tolist() == [5, 6, 6, 8]
    assert timeline.levels.tolist() == [Level.CLICK, Level.CLICK, Level.PURCHASE, Level.CLICK]
    assert (timeline.timestamps - T).tolist() == [0, 11, 12, 20]
    # The first request has no history, so it teaches nothing.
    second, third = timeline.sessions
    assert (second.cut, third.cut) == (1, 3)
    assert second.items.tolist() == [7, 5, 6]
    assert second.levels.tolist() == [Level.PSEUDO_EXPOSURE, Level.EXPOSURE, Level.PURCHASE]
    assert third.items.tolist() == [8]
    assert second.circumstances == RequestCircumstances("home", T + 10, None)


def test_only_the_asked_splits_take_part() -> None:
    rows: list[Row] = [(0, n, "click", n, n, split) for n, split in enumerate([TRAIN, TRAIN, VALID, TEST])]
    (train,) = training_timelines(data_of(rows))
    (both,) = training_timelines(data_of(rows), splits=(TRAIN, VALID))
    assert (train.items.tolist(), both.items.tolist()) == ([0, 1], [0, 1, 2])
    assert [s.cut for s in both.sessions] == [1, 2]


def test_pseudo_exposures_never_enter_a_history_whatever_is_asked() -> None:
    rows: list[Row] = [
        (0, 1, "pseudo_exposure", 0, 0, TRAIN),
        (0, 2, "exposure", 1, 1, TRAIN),
        (0, 3, "click", 2, 2, TRAIN),
        (0, 4, "click", 3, 3, TEST),
    ]
    (timeline,) = training_timelines(data_of(rows), history_level=Level.PSEUDO_EXPOSURE)
    (held,) = held_out(data_of(rows), history_level=Level.PSEUDO_EXPOSURE)
    assert timeline.items.tolist() == [2, 3]
    assert held.items.tolist() == [2, 3]


def test_without_a_clock_circumstances_have_no_time() -> None:
    rows: list[Row] = [(0, n, "purchase", n, n, TRAIN) for n in range(2)]
    (timeline,) = training_timelines(data_of(rows, clock=False))
    assert timeline.sessions[0].circumstances.timestamp_s is None
    assert timeline.timestamps.tolist() == [1, 2]


def test_the_held_out_request_is_the_first_with_the_strongest_level() -> None:
    data = data_of(
        [
            (0, 1, "click", 0, 0, TRAIN),
            (0, 2, "click", 5, 1, TEST),
            (0, 3, "exposure", 6, 2, TEST),
            (0, 4, "exposure", 6, 2, TEST),
            (0, 4, "clickout", 6, 2, TEST),
            (0, 5, "clickout", 7, 3, TEST),
            (1, 5, "exposure", 0, 4, TRAIN),
            (1, 5, "clickout", 1, 5, TEST),
        ]
    )
    (held,) = held_out(data)
    assert held.user == "u0", "the other user has no history"
    assert held.items.tolist() == [1], "the click before it belongs to the test split"
    assert held.truth == {"click": {4}, "pv": {3, 4}}
    assert held.circumstances.timestamp_s == T + 6


def test_the_test_history_holds_train_and_validation_and_a_review_log_knows_purchases_only() -> None:
    rows: list[Row] = [(0, n, "purchase", n, n, split) for n, split in enumerate([TRAIN, VALID, TEST])]
    (tested,) = held_out(data_of(rows, clock=False))
    (checked,) = held_out(data_of(rows, clock=False), split=VALID)
    assert tested.items.tolist() == [0, 1]
    assert tested.truth == {"purchase": {2}}
    assert checked.items.tolist() == [0]
    assert checked.truth == {"purchase": {1}}


def test_click_truth_counts_what_was_bought() -> None:
    rows: list[Row] = [
        (0, 1, "click", 0, 0, TRAIN),
        (0, 2, "exposure", 1, 1, TEST),
        (0, 2, "click", 1, 1, TEST),
        (0, 3, "purchase", 2, 1, TEST),
    ]
    (held,) = held_out(data_of(rows))
    assert held.truth == {"click": {2, 3}, "pv": {2}, "purchase": {3}}


def test_a_log_without_order_is_refused_before_anything_is_asked_of_it() -> None:
    events = 2
    unknown = Named((), np.full(events, -1, np.int32))
    raw = RawEvents(
        user=Named(("u",), np.zeros(events, np.int32)),
        item=np.arange(events),
        behavior=Named(("click",), np.zeros(events, np.int32)),
        timestamp=np.full(events, -1),
        request=None,
        split=None,
        scene=unknown,
        device=unknown,
    )
    data = DataSet("timeless", assemble_log(raw), ItemTable(np.arange(events), ("", ""), ("", "")))
    for refused in (training_timelines, held_out):
        with pytest.raises(BadDataSet, match="timeless has no order"):
            refused(data)


def slow_sessions(
    log: InteractionLog, user: int, splits: tuple[Split, ...], history_level: Level
) -> list[tuple[list[int], dict[int, int]]]:
    """(history, item -> strongest level) of each request of a user, event by event."""
    rows = [e for e in range(len(log.item)) if log.user[e] == user and log.split[e] in splits and log.level[e] > 0]
    requests: dict[int, list[int]] = {}
    for row in rows:
        requests.setdefault(int(log.session[row]), []).append(row)
    found = []
    for own in requests.values():
        history = [int(log.item[e]) for e in rows if e < own[0] and log.level[e] >= max(history_level, 2)]
        strongest: dict[int, int] = {}
        for row in own:
            item = int(log.item[row])
            strongest[item] = max(strongest.get(item, 0), int(log.level[row]))
        if history:
            found.append((history, strongest))
    return found


@given(
    seed=st.integers(0, 10_000),
    level=st.sampled_from(Level),
    splits=st.sampled_from([(TRAIN,), (TRAIN, VALID)]),
)
def test_timelines_agree_with_going_through_the_log_event_by_event(
    seed: int, level: Level, splits: tuple[Split, ...], random_data: RandomData
) -> None:
    data = random_data(seed)
    by_user = {timeline.user: timeline for timeline in training_timelines(data, level, splits)}
    for user, name in enumerate(data.log.users):
        expected = slow_sessions(data.log, user, splits, level)
        timeline = by_user.pop(name, None)
        sessions = timeline.sessions if timeline else ()
        got = [
            (timeline.items[: s.cut].tolist(), dict(zip(s.items.tolist(), s.levels.tolist(), strict=True)))
            for s in sessions
            if timeline
        ]
        assert got == expected
        assert [list(levels) for _, levels in got] == [list(levels) for _, levels in expected], "first seen first"
    assert not by_user


@given(seed=st.integers(0, 10_000))
def test_no_history_event_comes_after_its_request_and_targets_are_distinct(seed: int, random_data: RandomData) -> None:
    for timeline in training_timelines(random_data(seed)):
        assert np.all(np.diff(timeline.timestamps) >= 0)
        for session in timeline.sessions:
            began = session.circumstances.timestamp_s
            assert began is not None
            assert 1 <= session.cut <= len(timeline.items)
            assert timeline.timestamps[: session.cut].max() <= began
            assert len(set(session.items.tolist())) == len(session.items) > 0


@given(seed=st.integers(0, 10_000))
def test_no_held_out_history_comes_after_its_request_or_from_its_split(seed: int, random_data: RandomData) -> None:
    data = random_data(seed)
    for held in held_out(data):
        own = data.log.users.index(held.user) == data.log.user
        earlier = data.log.item[own & (data.log.split < TEST) & (data.log.level >= Level.CLICK)].tolist()
        began = held.circumstances.timestamp_s
        assert began is not None
        assert held.items.tolist() == earlier[: len(held.items)]
        assert len(held.items) > 0
        assert held.timestamps.max() <= began
        assert held.truth
        tested = set(data.log.item[own & (data.log.split == TEST)].tolist())
        assert all(truth and truth <= tested for truth in held.truth.values())
