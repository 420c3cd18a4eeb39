"""Raw events become a log."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.log import InteractionLog, Split


def assemble(
    user: list[int], timestamp: list[int], request: list[int] | None = None, split: list[int] | None = None
) -> InteractionLog:
    """Clicks on the items 0, 1, 2, ... in the order given."""
    events = len(user)
    return assemble_log(
        RawEvents(
            user=Named(tuple(f"u{number}" for number in range(max(user) + 1)), np.array(user, np.int32)),
            item=np.arange(events),
            behavior=Named(("click",), np.zeros(events, np.int32)),
            timestamp=np.array(timestamp, np.int64),
            request=None if request is None else np.array(request, np.int64),
            split=None if split is None else np.array(split, np.int8),
            scene=nobody_knows(events),
            device=nobody_knows(events),
        )
    )


def test_events_are_sorted_by_user_then_time_then_the_order_given() -> None:
    log = assemble(user=[1, 0, 1, 0, 1], timestamp=[9, 5, 3, 5, 3])
    assert log.user.tolist() == [0, 0, 1, 1, 1]
    assert log.item.tolist() == [1, 3, 2, 4, 0]


def test_without_session_ids_a_users_events_of_one_time_are_one_request() -> None:
    assert assemble(user=[0, 0, 0, 1], timestamp=[1, 1, 2, 2]).session.tolist() == [0, 0, 1, 2]


def test_the_same_session_id_of_two_users_is_two_requests() -> None:
    log = assemble(user=[0, 1, 0], timestamp=[1, 1, 2], request=[7, 7, 7])
    assert log.session.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("timestamps", "ordered", "clock"),
    [([-1, -1], False, False), ([1, 2], True, False), ([1_700_000_000, 1_700_000_001], True, True)],
)
def test_timestamps_tell_whether_there_is_order_and_a_clock(timestamps: list[int], ordered: bool, clock: bool) -> None:
    log = assemble(user=[0, 0], timestamp=timestamps)
    assert (log.ordered, log.clock) == (ordered, clock)


def test_without_order_every_event_stands_alone_and_nothing_is_held_out() -> None:
    log = assemble(user=[0, 0, 0, 0], timestamp=[-1] * 4)
    assert log.session.tolist() == [0, 1, 2, 3]
    assert set(log.split.tolist()) == {Split.TRAIN}


def test_a_given_split_is_kept() -> None:
    log = assemble(user=[0, 0], timestamp=[2, 1], split=[Split.TEST, Split.VALID])
    assert log.split.tolist() == [Split.VALID, Split.TEST]


def test_names_are_sorted_and_unused_ones_left_out() -> None:
    named = Named(("pear", "apple", "unused"), np.array([0, 1, -1, 0], np.int32)).by_name()
    assert named.names == ("apple", "pear")
    assert named.index.tolist() == [1, 0, -1, 1]
