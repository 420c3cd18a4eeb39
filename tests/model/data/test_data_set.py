"""Writing, reading back, describing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadDataSet
from model.data.data_set import DataSet, describe, read_data_set, write_data_set
from model.data.items import ItemTable
from model.data.log import InteractionLog


def assert_same(one: InteractionLog | ItemTable, other: InteractionLog | ItemTable) -> None:
    assert type(one) is type(other)
    for column in fields(one):
        here, there = getattr(one, column.name), getattr(other, column.name)
        if isinstance(here, np.ndarray):
            np.testing.assert_array_equal(here, there, err_msg=column.name)
            assert here.dtype == there.dtype, column.name
        else:
            assert here == there, column.name


@given(seed=st.integers(0, 10_000))
def test_what_is_written_is_read_back_the_same(seed: int, random_data: Callable[[int], DataSet]) -> None:
    data = random_data(seed)
    with TemporaryDirectory() as scratch:
        write_data_set(data, Path(scratch) / "deep" / "random")
        again = read_data_set(Path(scratch) / "deep" / "random")
    assert again.name == "random"
    assert_same(data.log, again.log)
    assert_same(data.items, again.items)


def test_writing_leaves_two_files_and_replaces_what_was_there(
    tmp_path: Path, random_data: Callable[[int], DataSet]
) -> None:
    write_data_set(random_data(1), tmp_path)
    write_data_set(random_data(2), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.parquet", "items.parquet"]
    assert_same(read_data_set(tmp_path).log, random_data(2).log)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, random_data: Callable[[int], DataSet]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadDataSet, match="cannot write"):
        write_data_set(random_data(1), tmp_path / "file")


@given(seed=st.integers(0, 10_000))
def test_the_description_counts_every_event_once(seed: int, random_data: Callable[[int], DataSet]) -> None:
    data = random_data(seed)
    told = describe(data)
    events = len(data.log.item)
    assert told["interactions"] == events
    for parts in (told["behaviors"], told["levels"], told["splits"]):
        assert sum(parts.values()) == events
    assert told["users"] == len(data.log.users)
    assert told["items"] == 9
    assert told["first_timestamp"] == data.log.timestamp.min()
    assert told["last_timestamp"] == data.log.timestamp.max()
