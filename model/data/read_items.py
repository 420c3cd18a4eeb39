"""items.parquet becomes an ItemTable that covers every item of the log.

Called by `read_data_set`.  Columns it does not know stay unread; counts in them may hold test rows.
"""

# Shapes: N items.

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts.errors import BadDataSet
from model.data.arrays import Float64, Int64
from model.data.columns import ParquetColumns
from model.data.items import ItemTable

ITEMS_FILE = "items.parquet"


def read_items(directory: Path, used: Int64) -> ItemTable:
    """The item table, joined by those of the `used` ids (Int64 [any]) that it lacks, without title or text.

    Raises BadDataSet.
    """
    columns = ParquetColumns.read(
        directory / ITEMS_FILE, ("item_id",), ("title", "text", "brand", "categories", "price")
    )
    given = columns.integers("item_id")
    if given.min() < 0:
        raise BadDataSet(f"{columns.path}: the item_id {given.min()} is negative")
    known, first, count = np.unique(given, return_index=True, return_counts=True)
    if count.max() > 1:
        raise BadDataSet(f"{columns.path}: the item_id {known[count.argmax()]} stands in {count.max()} rows; keep one")
    if not np.isin(used, known).any():
        raise BadDataSet(f"{columns.path} holds none of the log's items: do both files belong to the same data set?")
    item_id = np.union1d(known, used)
    # Row of each item in the file; one past the end for an item that only the log has.
    row_N = np.full(len(item_id), len(given))
    row_N[np.searchsorted(item_id, known)] = first

    title, brand, categories = (_texts(columns, name, row_N) for name in ("title", "brand", "categories"))
    return ItemTable(
        item_id=item_id,
        title=title,
        text=tuple(map(feature_text, _texts(columns, "text", row_N), title, categories, brand)),
        brand=brand if any(brand) else (),
        categories=categories if any(categories) else (),
        price=_prices(columns, row_N),
    )


def _texts(columns: ParquetColumns, name: str, row_N: Int64) -> tuple[str, ...]:
    if not columns.has(name):
        return ("",) * len(row_N)
    values = (*columns.texts(name), "")
    return tuple(values[row] for row in row_N.tolist())


def _prices(columns: ParquetColumns, row_N: Int64) -> Float64 | None:
    if not columns.has("price"):
        return None
    price_N: Float64 = np.append(columns.numbers("price"), np.nan)[row_N]
    return price_N


def feature_text(text: str, *parts: str) -> str:
    """The text as given; where an item has none, what else is known of it: title, categories, brand."""
    return text or " | ".join(part for part in parts if part)
