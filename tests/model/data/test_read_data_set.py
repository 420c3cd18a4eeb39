"""Reading directories that others wrote: their quirks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.data_set import describe, read_data_set
from model.data.log import Split

# A pyarrow array or a list of plain values: pyarrow tells no types, so neither can this.
Column: TypeAlias = Sequence[object]
T = 1_541_599_523


def write(directory: Path, interactions: dict[str, Column], items: dict[str, Column]) -> Path:
    pq.write_table(pa.table(interactions), directory / "interactions.parquet")
    pq.write_table(pa.table(items), directory / "items.parquet")
    return directory


def large(texts: list[str | None]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def good_interactions() -> dict[str, Column]:
    return {
        "user_id": [3, 3, 9],
        "item_id": [10, 11, 10],
        "behavior": large(["click", "purchase", "click"]),
        "timestamp": [T, T + 5, T],
    }


def good_items() -> dict[str, Column]:
    return {"item_id": [11, 10], "title": large(["Teapot", None])}


def test_reviews_whose_timestamps_are_positions(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "user_id": [1, 1, 1, 2],
            "item_id": [1, 2, 3, 1],
            "behavior": large(["purchase"] * 4),
            "timestamp": [1, 2, 3, 1],
            "split": large(["train", "valid", "test", "train"]),
        },
        {
            "item_id": [1, 2, 3],
            "asin": large(["A", "B", "C"]),
            "title": large(["Nail Lacquer", None, ""]),
            "brand": large([None, None, None]),
            "attribute_ids": pa.array([[1, 2], [], [3]], pa.list_(pa.int64())),
            "text": large(["Nail Lacquer | attr_1", None, "attr_3"]),
        },
    )
    data = read_data_set(tmp_path)
    assert data.log.users == ("1", "2")
    assert (data.log.ordered, data.log.clock) == (True, False)
    assert data.log.session.tolist() == [0, 1, 2, 3]
    assert data.log.split.tolist() == [Split.TRAIN, Split.VALID, Split.TEST, Split.TRAIN]
    assert data.items.title == ("Nail Lacquer", "", "")
    assert data.items.text == ("Nail Lacquer | attr_1", "", "attr_3")
    assert (data.items.brand, data.items.categories, data.items.price) == ((), (), None)
    told = describe(data)
    assert (told["first_timestamp"], told["last_timestamp"]) == (None, None)


def test_a_hotel_log_with_steps_searches_and_a_trace(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "user_id": [7, 7, 7, 7, 7],
            "item_id": [50, 51, 50, 50, 99],
            "behavior": large(["exposure", "exposure", "clickout", "click", "search"]),
            "timestamp": [T, T, T, T + 9, T + 12],
            "session_id": [4, 4, 4, 4, 4],
            "step": pa.array([3, 3, 3, 4, 5], pa.int32()),
            "action_type": large(["impression"] * 5),
            "position": pa.array([1, 2, -1, -1, -1], pa.int16()),
            "price": pa.array([71, 107, -1, -1, -1], pa.int32()),
            "split": large(["train"] * 5),
        },
        {"item_id": [50, 51], "title": large([None, None]), "text": large(["Lindau | price 71", "Lindau"])},
    )
    pq.write_table(
        pa.table(
            {
                "timestamp": [T, T, T + 9],
                "user_id": [8, 7, 7],
                "session_id": [4, 4, 4],
                "step": pa.array([4, 3, 4], pa.int32()),
                "item_id": [-1, 50, 50],
                "device": large(["tablet", "mobile", "desktop"]),
            }
        ),
        tmp_path / "trace.parquet",
    )
    data = read_data_set(tmp_path)
    assert data.log.session.tolist() == [0, 0, 0, 1, 2]
    assert data.log.level.tolist() == [Level.EXPOSURE, Level.EXPOSURE, Level.PURCHASE, Level.CLICK, 0]
    assert [data.log.devices[d] if d >= 0 else None for d in data.log.device] == ["mobile"] * 3 + [
        "desktop",
        None,
    ]
    assert data.items.item_id.tolist() == [50, 51], "an item that was only searched for is no item of the catalogue"
    assert describe(data)["behaviors"] == {"click": 1, "clickout": 1, "exposure": 2, "search": 1}


def test_a_log_without_times_is_read_and_says_so(tmp_path: Path) -> None:
    interactions = good_interactions() | {"timestamp": [-1, -1, -1]}
    data = read_data_set(write(tmp_path, interactions, {"item_id": [10, 11], "title": pa.nulls(2)}))
    assert not data.log.ordered
    assert data.items.title == ("", "")


def test_text_falls_back_to_title_categories_and_brand(tmp_path: Path) -> None:
    items: dict[str, Column] = {
        "item_id": [10, 11],
        "title": ["Teapot", "Kettle"],
        "categories": pa.array([["Kitchen", "Tea"], None], pa.list_(pa.string())),
        "brand": [None, "Brasa"],
        "price": pa.array([12.5, None], pa.float64()),
    }
    table = read_data_set(write(tmp_path, good_interactions(), items)).items
    assert table.text == ("Teapot | Kitchen > Tea", "Kettle | Brasa")
    assert table.price is not None
    np.testing.assert_array_equal(table.price, [12.5, np.nan])


def test_items_that_only_the_log_knows_join_the_table_without_text(tmp_path: Path) -> None:
    table = read_data_set(write(tmp_path, good_interactions(), {"item_id": [11, 12], "title": ["a", "b"]})).items
    assert table.item_id.tolist() == [10, 11, 12]
    assert table.title == ("", "a", "b")


def test_users_scenes_and_sessions_may_be_strings_and_dictionaries(tmp_path: Path) -> None:
    interactions = good_interactions() | {
        "user_id": pa.array(["zoë", "zoë", "abe"]).dictionary_encode(),
        "session_id": ["s1", "s1", "s2"],
        "scene": ["home", None, "cart"],
    }
    log = read_data_set(write(tmp_path, interactions, good_items())).log
    assert log.users == ("zoë", "abe")
    assert log.session.tolist() == [0, 0, 1]
    assert log.scenes == ("cart", "home")
    assert log.scene.tolist() == [1, -1, 0]


def test_repeated_events_are_kept(tmp_path: Path) -> None:
    interactions = {name: pa.concat_arrays([pa.array(c)] * 2) for name, c in good_interactions().items()}
    assert len(read_data_set(write(tmp_path, interactions, good_items())).log.item) == 6


def test_only_an_event_without_feedback_may_name_no_item(tmp_path: Path) -> None:
    interactions = good_interactions() | {
        "item_id": [10, None, 10],
        "behavior": ["click", "search", "click"],
    }
    log = read_data_set(write(tmp_path, interactions, good_items())).log
    assert log.item.tolist() == [10, -1, 10]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"user_id": [1.0, 2.0, 3.0]}, "user_id is double, integers or strings are wanted"),
        ({"user_id": [1, None, 3]}, "user_id is NULL in 1 row"),
        ({"user_id": ["a", "", "b"]}, "user_id '' is refused"),
        ({"user_id": ["a", "b" * 129, "b"]}, "user_id 'b+' is refused"),
        ({"item_id": pa.array([1.0, float("nan"), 2.0])}, "item_id is double, integers are wanted"),
        ({"item_id": [10, None, 11]}, "1 event.* have no item_id"),
        ({"item_id": [10, -5, 11]}, "1 event.* have no item_id"),
        ({"item_id": pa.array([10, 2**63, 11], pa.uint64())}, "beyond 64 bits"),
        ({"item_id": [1, 2, 3]}, "none of the log's items"),
        ({"behavior": ["like", "look", "like"]}, r"no behavior is known \(found like, look\)"),
        ({"behavior": [3, 3, 4]}, "behavior is int64, strings are wanted"),
        ({"behavior": ["click", None, "click"]}, "behavior is NULL"),
        ({"timestamp": [T, -1, T]}, r"unknown \(-1\) in 1 row"),
        ({"timestamp": [T, -7, T]}, "goes down to -7"),
        ({"timestamp": [T, 4, T]}, "mixes positions"),
        ({"timestamp": [T * 1000] * 3}, "divide milliseconds by 1000"),
        ({"timestamp": pa.array([T] * 3, pa.timestamp("s"))}, "integers are wanted"),
        ({"split": ["train", "dev", "test"]}, "split 'dev' is unknown"),
        ({"split": ["train", None, "test"]}, "split is NULL"),
        ({"session_id": [1, None, 2]}, "session_id is NULL"),
        ({"session_id": [1, 1, 2], "step": ["a", "b", "c"]}, "step is string, integers are wanted"),
    ],
)
def test_a_bad_log_is_refused_in_one_line(tmp_path: Path, change: dict[str, Column], complaint: str) -> None:
    write(tmp_path, good_interactions() | change, good_items())
    with pytest.raises(BadDataSet, match=complaint) as caught:
        read_data_set(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ({"title": ["a"]}, "lacks the column.* item_id; it has title"),
        ({"item_id": [10, 10]}, "item_id 10 stands in 2 rows"),
        ({"item_id": [10, None]}, "item_id is NULL"),
        ({"item_id": [-3, 10]}, "item_id -3 is negative"),
        ({"item_id": pa.array([], pa.int64())}, "has no rows"),
        ({"item_id": [10], "title": [5]}, "title is int64, strings are wanted"),
        ({"item_id": [10], "price": ["9.99"]}, "price is string, numbers are wanted"),
    ],
)
def test_a_bad_item_table_is_refused_in_one_line(tmp_path: Path, items: dict[str, Column], complaint: str) -> None:
    write(tmp_path, good_interactions(), items)
    with pytest.raises(BadDataSet, match=complaint) as caught:
        read_data_set(tmp_path)
    assert "\n" not in str(caught.value)


def _remove(path: Path) -> None:
    path.unlink()


def _cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _spoil_text(path: Path) -> None:
    bad = pa.array([b"\xff\xfe", b"ok", b"ok"], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table(good_interactions() | {"behavior": bad}), path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_remove, "interactions.parquet is missing"),
        (_cut_in_half, "is no readable Parquet file"),
        (_spoil_text, "not UTF-8"),
    ],
)
def test_a_damaged_directory_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    write(tmp_path, good_interactions(), good_items())
    damage(tmp_path / "interactions.parquet")
    with pytest.raises(BadDataSet, match=complaint) as caught:
        read_data_set(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataSet, match="is no directory"):
        read_data_set(tmp_path / "nowhere")


def test_a_missing_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    interactions = good_interactions()
    del interactions["behavior"]
    write(tmp_path, interactions, good_items())
    with pytest.raises(BadDataSet, match=r"lacks the column.* behavior; it has user_id, item_id, timestamp"):
        read_data_set(tmp_path)
