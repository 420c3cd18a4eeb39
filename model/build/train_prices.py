"""Prices as training rows show them: an item table often holds prices over all rows, those of the test among them.

Called before semantic ids are made of a data set whose log shows prices.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.data.columns import ParquetColumns
from model.data.data_set import DataSet
from model.data.read_interactions import INTERACTIONS_FILE
from model.semantic_id.price_facet import priced, split_prices

# Shapes: E rows with a price, K items with one, N items.
Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
TRAIN = "train"


def with_train_prices(data: DataSet, directory: Path) -> DataSet:
    """The data with item prices, in the table and in the texts, that are medians over training rows.

    An item without such a row has none.  A log without the columns `price` and `split` changes nothing.
    Raises BadDataSet for columns that are no prices or splits.
    """
    columns = ParquetColumns.read(directory / INTERACTIONS_FILE, ("item_id",), ("price", "split"))
    if not (columns.has("price") and columns.has("split")):
        return data
    split = columns.names("split")
    price_E = columns.numbers("price")
    shown_E = (np.asarray(split.names)[split.index] == TRAIN) & (price_E > 0)
    item_K, median_K = medians(columns.integers("item_id", null=-1)[shown_E], price_E[shown_E])
    price_N = np.full(len(data.items.item_id), np.nan)
    known_K = np.isin(item_K, data.items.item_id)
    price_N[np.searchsorted(data.items.item_id, item_K[known_K])] = median_K[known_K]
    texts, _ = split_prices(data.items.text)
    with_prices = tuple(priced(text, price) for text, price in zip(texts, price_N.tolist(), strict=True))
    return dataclasses.replace(data, items=dataclasses.replace(data.items, text=with_prices, price=price_N))


def medians(item_E: Int64s, value_E: Float64s) -> tuple[Int64s, Float64s]:
    """Items that occur, rising, Int64[K], and the median of each one's values, Float64[K]."""
    order_E = np.lexsort((value_E, item_E))
    item_K, first_K, count_K = np.unique(item_E[order_E], return_index=True, return_counts=True)
    sorted_E = value_E[order_E]
    low_K, high_K = first_K + (count_K - 1) // 2, first_K + count_K // 2
    return item_K, (sorted_E[low_K] + sorted_E[high_K]) / 2
