"""The split of logs that bring none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from model.data.data_set import DataSet
from model.data.leave_one_out import leave_one_out
from model.data.log import Split

TRAIN, VALID, TEST = Split


def split_of(levels: list[int]) -> list[int]:
    """The split of one user whose n-th request is one event of the n-th level."""
    count = len(levels)
    user = np.zeros(count, np.int32)
    split = leave_one_out(user, np.array(levels, np.int8), np.arange(count, dtype=np.int64))
    return [int(one) for one in split]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], []),
        ([2, 2], [TRAIN, TRAIN]),
        ([3, 2], [TRAIN, TRAIN]),
        ([3, 4, 2], [TRAIN, TEST, TEST]),
        ([3, 3, 3], [TRAIN, VALID, TEST]),
        ([3, 2, 3, 2, 4], [TRAIN, TRAIN, VALID, VALID, TEST]),
    ],
)
def test_the_last_request_with_a_click_is_the_test(levels: list[int], expected: list[int]) -> None:
    assert split_of(levels) == expected


@given(seed=st.integers(0, 10_000))
def test_every_user_keeps_something_to_learn_from_and_no_request_is_split(
    seed: int, random_data: Callable[[int], DataSet]
) -> None:
    log = random_data(seed).log
    split = leave_one_out(log.user, log.level, log.session)
    for user in range(len(log.users)):
        own = split[log.user == user]
        clicked = np.unique(log.session[(log.user == user) & (log.level >= Level.CLICK)])
        by_request = [split[log.session == request].tolist() for request in np.unique(log.session[log.user == user])]
        assert all(len(set(request)) == 1 for request in by_request)
        assert [request[0] for request in by_request] == sorted(request[0] for request in by_request)
        assert (TEST in own) == (len(clicked) >= 2)
        assert (VALID in own) == (len(clicked) >= 3)
