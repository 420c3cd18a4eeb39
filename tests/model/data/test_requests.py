"""Numbering of requests."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.data.requests import number_groups

pairs = st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 2)), max_size=30)


@given(pairs)
def test_groups_are_numbered_by_their_first_row(rows: list[tuple[int, int]]) -> None:
    number_of: dict[tuple[int, int], int] = {}
    expected = [number_of.setdefault(row, len(number_of)) for row in rows]
    first = np.array([row[0] for row in rows], np.int64)
    second = np.array([row[1] for row in rows], np.int64)
    assert number_groups(first, second).tolist() == expected
