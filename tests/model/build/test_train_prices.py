"""Prices from training rows: medians as numpy has them, in texts as they were written, none of a test row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadDataSet
from model.build.train_prices import medians, with_train_prices
from model.data.data_set import read_data_set


def write(directory: Path, **columns: object) -> Path:
    directory.mkdir()
    log = {
        "user_id": [1, 1, 1, 2, 2, 2],
        "item_id": [0, 0, 1, 0, 1, 2],
        "behavior": ["exposure"] * 6,
        "timestamp": [1, 2, 3, 1, 2, 3],
        **columns,
    }
    pq.write_table(pa.table(log), directory / "interactions.parquet")
    items = {"item_id": [0, 1, 2, 3], "text": ["Rome, Italy | price 999", "Bonn | price 7", "Bonn | price 8", None]}
    pq.write_table(pa.table(items), directory / "items.parquet")
    return directory


SPLIT = ["train"] * 5 + ["test"]


def test_prices_are_medians_of_the_training_rows_alone(tmp_path: Path) -> None:
    place = write(tmp_path / "d", price=[10.0, 20.0, 7.5, 12.0, -1.0, 500.0], split=SPLIT)
    items = with_train_prices(read_data_set(place), place).items
    assert items.text == ("Rome, Italy | price 12", "Bonn | price 7.5", "Bonn", "")
    assert items.price is not None
    np.testing.assert_array_equal(items.price, [12.0, 7.5, np.nan, np.nan])


@pytest.mark.parametrize("columns", [{}, {"split": SPLIT}, {"price": [1.0] * 6}])
def test_without_prices_or_splits_nothing_changes(tmp_path: Path, columns: dict[str, object]) -> None:
    place = write(tmp_path / "d", **columns)
    data = read_data_set(place)
    assert with_train_prices(data, place) is data


def test_a_price_that_is_no_number_is_refused(tmp_path: Path) -> None:
    place = write(tmp_path / "d", price=["dear"] * 6, split=SPLIT)
    with pytest.raises(BadDataSet, match="price"):
        with_train_prices(read_data_set(place), place)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=40))
def test_medians_are_those_of_numpy(pairs: list[tuple[int, int]]) -> None:
    item_E, value_E = np.asarray([item for item, _ in pairs]), np.asarray([float(value) for _, value in pairs])
    item_K, median_K = medians(item_E, value_E)
    assert item_K.tolist() == sorted(set(item_E.tolist()))
    np.testing.assert_allclose(median_K, [np.median(value_E[item_E == item]) for item in item_K])
