"""Items that a file adds: every form gives the same items, and each bad row is one line that names its place."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadDataSet
from model.data.new_items import NewItem, read_new_items

ROWS: list[dict[str, object]] = [
    {"item_id": 7, "title": "Copper Teapot", "brand": "Casa", "categories": "Kitchen > Tea", "price": 12.5},
    {"item_id": 2**63 - 1, "title": "Tent", "text": "a tent for two", "price": None},
    {"item_id": 0, "title": None, "text": None, "price": 3},
]
ITEMS = [
    (7, "Copper Teapot", "Copper Teapot | Kitchen > Tea | Casa", 12.5),
    (2**63 - 1, "Tent", "a tent for two", None),
    (0, "", "", 3.0),
]


def jsonl(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def told(items: list[NewItem]) -> list[tuple[int, str, str, float | None]]:
    return [(one.item_id, one.title, one.text, one.price) for one in items]


def test_json_lines_csv_and_parquet_give_the_same_items(tmp_path: Path) -> None:
    names = ["item_id", "title", "text", "brand", "categories", "price"]
    full = [{name: row.get(name) for name in names} for row in ROWS]
    with (tmp_path / "items.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(full)
    pq.write_table(pa.Table.from_pylist(full), tmp_path / "items.parquet")
    for path in (jsonl(tmp_path, *ROWS), tmp_path / "items.csv", tmp_path / "items.parquet"):
        items, bad = read_new_items(path)
        assert (told(items), bad) == (ITEMS, []), path.suffix


def test_a_category_path_may_be_a_list_and_blank_lines_are_none(tmp_path: Path) -> None:
    [item], bad = read_new_items(jsonl(tmp_path, "", {"item_id": 1, "categories": ["A", "", "B"]}, "  "))
    assert (item.where, item.text, bad) == ("line 2", "A > B", [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "is no JSON object"),
        ("[" * 100_000, "is no JSON object"),
        ("[1]", "is no JSON object"),
        ({"title": "x"}, "item_id is missing"),
        ({"item_id": None}, "item_id is missing"),
        ({"item_id": -1}, "item_id must be an integer from 0 to 2^63 - 1, is -1"),
        ({"item_id": 2**63}, "item_id must be an integer from 0 to 2^63 - 1, is 9223372036854775808"),
        ({"item_id": 1.0}, "item_id must be an integer from 0 to 2^63 - 1, is 1.0"),
        ({"item_id": True}, "item_id must be an integer from 0 to 2^63 - 1, is True"),
        ({"item_id": "1"}, "item_id must be an integer from 0 to 2^63 - 1, is '1'"),
        ('{"item_id": 1, "price": NaN}', "price must be a number from 0 on, is nan"),
        ('{"item_id": 1, "price": 1e999}', "price must be a number from 0 on, is inf"),
        ({"item_id": 1, "price": -0.5}, "price must be a number from 0 on, is -0.5"),
        ({"item_id": 1, "price": "dear"}, "price must be a number from 0 on, is 'dear'"),
        ({"item_id": 1, "price": False}, "price must be a number from 0 on, is False"),
        ({"item_id": 1, "price": 10**400}, "price must be a number from 0 on, is 1" + "0" * 39),
        ({"item_id": 1, "title": 5}, "title must be a string, is 5"),
        ({"item_id": 1, "categories": [5]}, "categories must be a string, is [5]"),
        ({"item_id": 1, "text": "\ud800"}, "text has half a character: '\\ud800'"),
        ({"item_id": 9, "title": "again"}, "item_id 9 stands in line 1 already"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(tmp_path: Path, row: object, reason: str) -> None:
    items, bad = read_new_items(jsonl(tmp_path, {"item_id": 9}, row, {"item_id": 10}))
    assert [one.item_id for one in items] == [9, 10]
    assert list(map(str, bad)) == [f"line 2: {reason}"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,1", "item_id must be an integer from 0 to 2^63 - 1, is 'x'"),
        (",1", "item_id is missing"),
        ("1_0,1", "item_id must be an integer from 0 to 2^63 - 1, is '1_0'"),
        ("1,nan", "price must be a number from 0 on, is nan"),
        ("1,dear", "price must be a number from 0 on, is 'dear'"),
        ("1", "has another number of fields than the first line"),
        ("1,2,3", "has another number of fields than the first line"),
    ],
)
def test_a_bad_line_of_csv_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"item_id,price\n9,\n{line}\n")
    items, bad = read_new_items(path)
    assert [one.item_id for one in items] == [9]
    assert list(map(str, bad)) == [f"line 3: {reason}"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("items.txt", b"1", r"ends in \.jsonl, \.ndjson, \.csv, \.parquet"),
        ("items.jsonl", b"", "has no rows"),
        ("items.jsonl", b"\xff\xfe", "not UTF-8"),
        ("items.csv", b"title\nx\n", "lacks the column item_id; it has title"),
        ("items.csv", b"", "lacks the column item_id; it has none"),
        ("items.csv", b'item_id\n"1\n', "cannot be read"),
        ("items.parquet", b"PAR0", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadDataSet, match=complaint) as caught:
        read_new_items(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadDataSet, match="cannot be read"):
        read_new_items(tmp_path / "none.csv")
