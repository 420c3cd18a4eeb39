"""Which rows a timeline gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from model.data.timelines import Timeline
from model.training.config import SampleConfig
from model.training.samples import SessionSample, TrainingRow

from .toys import Toy, drawn, random_timeline, session, timeline

PSEUDO, EXPOSURE, CLICK, PURCHASE = Level
TOY = Toy()
UNKNOWN = 999


def rows_of(user: Timeline, config: SampleConfig | None = None, seed: int = 0, toy: Toy = TOY) -> list[TrainingRow]:
    return list(drawn(toy, [user], config, seed).rows())


def samples_of(rows: Sequence[TrainingRow]) -> list[SessionSample]:
    return [sample for row in rows for sample in row.sessions]


def items_of(sample: SessionSample) -> list[int]:
    """Item ids of a sample's targets; ids are unique in the toy catalogue."""
    item_of = dict(zip(map(tuple, TOY.catalog.codes.tolist()), TOY.catalog.item_id.tolist(), strict=True))
    return [item_of[tuple(codes)] for codes in sample.codes_Km.tolist()]


def assert_equal_rows(some: Sequence[TrainingRow], others: Sequence[TrainingRow]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.history_L, other.history_L)
        assert len(one.sessions) == len(other.sessions)
        for mine, yours in zip(one.sessions, other.sessions, strict=True):
            assert mine.visible == yours.visible
            for name in ("context_C", "codes_Km", "level_K", "ntp_K"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(yours, name))


def test_unknown_items_leave_no_hole_in_a_history() -> None:
    holed = timeline(
        [UNKNOWN, 1, 2, UNKNOWN, UNKNOWN, 3, 4],
        [session(3, [5], [CLICK], 1), session(6, [6], [CLICK], 2), session(7, [7], [CLICK], 3)],
    )
    whole = timeline(
        [1, 2, 3, 4],
        [session(2, [5], [CLICK], 1), session(3, [6], [CLICK], 2), session(4, [7], [CLICK], 3)],
    )
    assert_equal_rows(rows_of(holed), rows_of(whole))


def test_unknown_targets_are_left_out() -> None:
    user = timeline([1, 2], [session(2, [UNKNOWN, 5, UNKNOWN, 6], [PURCHASE, CLICK, CLICK, EXPOSURE])])
    [sample] = samples_of(rows_of(user))
    assert items_of(sample) == [5, 6]
    assert sample.level_K.tolist() == [CLICK, EXPOSURE]


def test_sessions_with_nothing_to_learn_are_left_out() -> None:
    user = timeline(
        [UNKNOWN, 1, 2],
        [session(1, [5], [CLICK]), session(3, [UNKNOWN], [PURCHASE], 1), session(3, [6], [CLICK], 2)],
    )
    [sample] = samples_of(rows_of(user))
    assert items_of(sample)[0] == 6
    assert not rows_of(timeline([UNKNOWN], [session(1, [5], [CLICK])]))


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from(["items", "items_behaviors"]))
def test_rows_keep_their_promises(seed: int, row_sessions: int, layout: str) -> None:
    toy = Toy(layout=layout, room=4)
    user = random_timeline(toy, seed)
    config = SampleConfig(targets=3, sampled_negatives=2, row_sessions=row_sessions)
    rows = rows_of(user, config, seed, toy)
    for row in rows:
        assert len(row.sessions) <= row_sessions
        # No token of a row is there for nothing, and no session sees more than there is or than fits.
        assert len(row.history_L) == max(sample.visible for sample in row.sessions)
        for sample in row.sessions:
            assert sample.visible + len(sample.context_C) <= toy.fmt.max_tokens
            assert 1 <= sample.ntp_K.sum() <= config.targets
            assert len(sample.level_K) <= config.targets + config.sampled_negatives
            assert (sample.level_K[~sample.ntp_K] == PSEUDO).all()
    known = toy.catalog.item_id[-1]
    usable = [each for each in user.sessions if (user.items[: each.cut] <= known).any() and (each.items <= known).any()]
    assert len(samples_of(rows)) == len(usable)


@pytest.mark.parametrize("seed", range(5))
def test_where_targets_are_too_many_the_strongest_stay(seed: int) -> None:
    levels = [EXPOSURE, PSEUDO, CLICK, EXPOSURE, PURCHASE, EXPOSURE, CLICK, PSEUDO]
    user = timeline([1], [session(1, list(range(1, 9)), levels)])
    [sample] = samples_of(rows_of(user, SampleConfig(targets=4), seed))
    assert sorted(sample.level_K.tolist(), reverse=True) == [PURCHASE, CLICK, CLICK, EXPOSURE]
    level_of = dict(zip(range(1, 9), levels, strict=True))
    assert [level_of[item] for item in items_of(sample)] == sample.level_K.tolist()


def test_among_equals_chance_decides() -> None:
    user = timeline([1], [session(1, list(range(1, 9)), [EXPOSURE] * 7 + [CLICK])])
    kept = {tuple(items_of(samples_of(rows_of(user, SampleConfig(targets=3), seed))[0])) for seed in range(20)}
    assert all(8 in items for items in kept)
    assert len(kept) > 5


def test_a_session_of_one_level_gets_negatives_that_it_never_held() -> None:
    # Eight clicked items of twelve, of which two are packed: only the other four may be drawn.
    user = timeline([1], [session(1, list(range(1, 9)), [CLICK] * 8)])
    drawn = set()
    for seed in range(30):
        [sample] = samples_of(rows_of(user, SampleConfig(targets=2, sampled_negatives=4), seed))
        shown = int(sample.ntp_K.sum())
        assert shown == 2
        assert sample.ntp_K.tolist() == [True] * shown + [False] * (len(sample.level_K) - shown)
        assert (sample.level_K[shown:] == PSEUDO).all()
        drawn |= set(items_of(sample)[shown:])
    assert drawn == {9, 10, 11, 12}


def test_a_session_with_a_weak_item_needs_no_negatives() -> None:
    user = timeline([1], [session(1, [2, 3], [CLICK, EXPOSURE])])
    for seed in range(10):
        [sample] = samples_of(rows_of(user, SampleConfig(sampled_negatives=5), seed))
        assert sample.ntp_K.tolist() == [True, True]


def test_weak_sessions_are_thinned_out_by_chance_and_strong_ones_stay() -> None:
    strength = [CLICK, PURCHASE] * 20
    user = timeline([1], [session(1, [2, 3], [EXPOSURE, level], place) for place, level in enumerate(strength)])
    kept = [
        [int(sample.level_K.max()) for sample in samples_of(rows_of(user, SampleConfig(weak_sessions=0.3), seed))]
        for seed in range(20)
    ]
    assert all(levels.count(PURCHASE) == 20 for levels in kept)
    assert 80 < sum(levels.count(CLICK) for levels in kept) < 160
    assert len({tuple(levels) for levels in kept}) > 1
    nobody = timeline([1], [session(1, [2], [CLICK])])
    assert len(rows_of(nobody, SampleConfig(weak_sessions=0.0))) == 1


def test_of_a_user_with_many_sessions_some_are_drawn_anew_every_time() -> None:
    often = timeline([1], [session(1, [2], [CLICK], place) for place in range(9)])
    seldom = timeline([1], [session(1, [3], [CLICK])])
    found = [drawn(TOY, [often, seldom], SampleConfig(user_sessions=2), seed) for seed in range(10)]
    assert all(samples.sessions.user_N.tolist() == [0, 0, 1] for samples in found)
    contexts = {tuple(samples.sessions.row_P.tolist()) for samples in found}
    assert contexts == {(TOY.catalog.rows_of(np.array([2, 2, 3]))[0],) * 2 + (TOY.catalog.rows_of(np.array([3]))[0],)}


@given(st.integers(0, 10_000))
def test_the_same_seed_makes_the_same_rows(seed: int) -> None:
    user = random_timeline(TOY, seed, most=8)
    config = SampleConfig(targets=3)
    assert_equal_rows(rows_of(user, config, seed), rows_of(user, config, seed))


def test_a_log_of_purchases_alone_is_learnt_at_every_place_in_windows_that_slide() -> None:
    toy = Toy(room=4)
    items = [1 + place % 12 for place in range(20)]
    sessions = [session(cut, [items[cut]], [PURCHASE], cut) for cut in range(1, 20)]
    user = timeline(items, sessions, [PURCHASE] * 20)
    rows = rows_of(user, SampleConfig(sampled_negatives=2), toy=toy)
    found = samples_of(rows)
    assert len(found) == 19
    for sample in found:
        assert sample.ntp_K.sum() == 1
        assert sample.level_K[sample.ntp_K].tolist() == [PURCHASE]
        assert (sample.level_K[~sample.ntp_K] == PSEUDO).all()
        assert sample.visible + len(sample.context_C) <= toy.fmt.max_tokens
    # Two items leave at a time: what is seen grows from three items to four, over and over.
    assert [sample.visible // 2 for sample in found] == [1, 2, 3, 4, *([3, 4] * 7), 3]
