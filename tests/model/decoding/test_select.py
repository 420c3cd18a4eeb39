"""Selection against Python's stable sort."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.decoding.select import best_per_row, best_positions, order_of

VALUES = st.lists(st.integers(-3, 3).map(float), max_size=30)


def best_by_sort(values: list[float], most: int) -> list[int]:
    return sorted(sorted(range(len(values)), key=lambda place: (-values[place], place))[:most])


@given(VALUES, st.integers(1, 40))
def test_the_best_are_kept_and_the_first_of_equals(values: list[float], most: int) -> None:
    assert best_positions(torch.tensor(values), most).tolist() == best_by_sort(values, most)


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(1, 12))
def test_rows_are_cut_each_for_itself(rows: list[list[float]], most: int) -> None:
    flat = torch.tensor([value for row in rows for value in row])
    row = torch.tensor([number for number, values in enumerate(rows) for _ in values], dtype=torch.int64)
    kept = best_per_row(flat, row, torch.tensor([len(values) for values in rows]), most)
    expected = [place in best_by_sort(values, most) for values in rows for place in range(len(values))]
    assert (kept.tolist() if kept is not None else [True] * len(flat)) == expected


@given(VALUES)
def test_the_order_keeps_equals_as_they_stood(values: list[float]) -> None:
    expected = sorted(range(len(values)), key=lambda place: (-values[place], place))
    assert order_of(torch.tensor(values)).tolist() == expected
