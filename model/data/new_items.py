"""Items that are to join a catalogue, as a file gives them: JSON lines, CSV or Parquet, with items.parquet's columns.

Called by whoever changes a catalogue.  Unlike the readers of data sets it names every bad row, so that the good ones
may be taken without them.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadDataSet
from model.data.read_items import feature_text

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewItem:
    """`where`: the row it comes from.  `text`: what features are computed from.  `price` None: none is told."""

    where: str
    item_id: int
    title: str
    text: str
    price: float | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with one row, or one item, in words that follow its place."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def read_new_items(path: Path) -> tuple[list[NewItem], list[BadRow]]:
    """Rows that are items, each id once, and rows that are none; the ending of the name says how to read the file.

    Raises BadDataSet where the file as a whole cannot be read.
    """
    items: list[NewItem] = []
    bad: list[BadRow] = []
    first: dict[int, str] = {}
    for where, row in _rows(path):
        found = row if isinstance(row, str) else _item(where, row)
        if isinstance(found, NewItem) and found.item_id in first:
            found = f"item_id {found.item_id} stands in {first[found.item_id]} already"
        if isinstance(found, str):
            bad.append(BadRow(where, found))
            continue
        first[found.item_id] = found.where
        items.append(found)
    if not items and not bad:
        raise BadDataSet(f"{path} has no rows")
    return items, bad


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    """Place and content of each row; a text in its stead says what is wrong with it."""
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadDataSet(f"{path}: name a file that ends in {', '.join(readers)}")
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise BadDataSet(f"{path} has text that is not UTF-8") from error
    except (OSError, csv.Error, pa.ArrowException) as error:
        raise BadDataSet(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = "no JSON"
            yield f"line {number}", row if isinstance(row, dict) else "is no JSON object"


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                yield where, "has another number of fields than the first line"
                continue
            cells: dict[str, object] = {name: cell or None for name, cell in row.items()}
            for name, kind in (("item_id", int), ("price", float)):
                cells[name] = _number(cells.get(name), kind)
            yield where, cells


def _number(cell: object, kind: type[int] | type[float]) -> object:
    """A cell as a number; one that is none stays, for the row's own check to name it."""
    text = "" if cell is None else str(cell).strip()
    try:
        # Python would read 1_0 and digits of every script.
        return kind(text) if text.isascii() and "_" not in text else cell
    except ValueError:
        return cell


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    names = ("item_id", "title", "text", "brand", "categories", "price")
    with pq.ParquetFile(path) as file:
        _check_columns(path, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(columns=[name for name in names if name in file.schema_arrow.names]):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row


def _check_columns(path: Path, names: Iterable[str]) -> None:
    known = list(names)
    if "item_id" not in known:
        raise BadDataSet(f"{path} lacks the column item_id; it has {', '.join(known) or 'none'}")


def _item(where: str, row: Mapping[str, object]) -> NewItem | str:
    """The item, or what is wrong with the row."""
    item_id, price, path = row.get("item_id"), row.get("price"), row.get("categories")
    if item_id is None:
        return "item_id is missing"
    if type(item_id) is not int or not 0 <= item_id <= LARGEST_ID:
        return f"item_id must be an integer from 0 to 2^63 - 1, is {_short(item_id)}"
    if price is not None and (type(price) not in (int, float) or not 0 <= float(str(price)) < math.inf):
        return f"price must be a number from 0 on, is {_short(price)}"
    if isinstance(path, list) and all(isinstance(part, str) for part in path):
        path = " > ".join(part for part in path if part)
    texts = [row.get("text"), row.get("title"), path, row.get("brand")]
    for name, text in zip(("text", "title", "categories", "brand"), texts, strict=True):
        if text is not None and not isinstance(text, str):
            return f"{name} must be a string, is {_short(text)}"
        if text and any("\ud800" <= letter <= "\udfff" for letter in text):
            return f"{name} has half a character: {_short(text)}"
    own, title, categories, brand = (str(text or "") for text in texts)
    cost = None if price is None else float(str(price))
    return NewItem(where, item_id, title, feature_text(own, title, categories, brand), cost)


def _short(value: object) -> str:
    return ascii(value)[:40]
