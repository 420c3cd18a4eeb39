"""The catalogue: every item's semantic id and popularity, as one table sorted by item id.

Everybody who turns items into codes or codes into items reads it; it never learns about tokens or weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadBundle

# Shapes: N items, M levels, K items asked for.
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]

VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """item_id int64 [N], sorted and unique; codes int32 [N, M], 0-based; popularity float32 [N], finite.

    `title` (N strings, or None) is what a person needs to read a list.
    Raises ValueError when the parts disagree.
    """

    item_id: Int64s
    codes: Int32s
    popularity: Float32s
    level_sizes: tuple[int, ...]
    title: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.item_id)

    def rows_of(self, items: npt.ArrayLike) -> Int64s:
        """Row of each asked item, int64 [K]; -1 where the catalogue does not know it."""
        asked_K = np.asarray(items, dtype=np.int64).reshape(-1)
        if not len(self.item_id):
            return np.full(asked_K.shape, -1, dtype=np.int64)
        row_K = np.minimum(np.searchsorted(self.item_id, asked_K), len(self.item_id) - 1)
        return np.where(self.item_id[row_K] == asked_K, row_K, -1).astype(np.int64)

    def title_of(self, item: int) -> str:
        """What a person reads for an item; empty where nothing is known."""
        row = int(self.rows_of([item])[0])
        return "" if row < 0 or self.title is None else self.title[row]

    @property
    def version(self) -> str:
        """Twelve hex digits of a SHA-256 over level sizes, ids, codes and popularity; titles do not count."""
        digest = hashlib.sha256()
        digest.update(np.asarray([len(self.item_id), *self.level_sizes], dtype="<i8").tobytes())
        digest.update(self.item_id.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.codes, dtype="<i4").tobytes())
        digest.update(self.popularity.astype("<f4").tobytes())
        return digest.hexdigest()[:VERSION_DIGITS]

    def write(self, path: Path) -> None:
        """Write `catalog.parquet`: item_id int64, c1..cm int32, popularity float32, and title where known."""
        columns: dict[str, object] = {"item_id": pa.array(self.item_id, pa.int64())}
        for level, _ in enumerate(self.level_sizes):
            columns[f"c{level + 1}"] = pa.array(np.ascontiguousarray(self.codes[:, level]), pa.int32())
        columns["popularity"] = pa.array(self.popularity, pa.float32())
        if self.title is not None:
            columns["title"] = pa.array(self.title, pa.string())
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path, level_sizes: Sequence[int]) -> Catalog:
        """Read what `write` wrote.  Raises BadBundle, in one line, for anything that is no such catalogue."""
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise BadBundle(f"{path.name}: not a readable parquet file ({_first_line(error)})") from error
        codes_MN = [_column(table, path, f"c{level + 1}", pa.int32()) for level, _ in enumerate(level_sizes)]
        if f"c{len(level_sizes) + 1}" in table.column_names:
            raise BadBundle(f"{path.name}: has more code columns than the model's {len(level_sizes)} levels")
        title: tuple[str, ...] | None = None
        if "title" in table.column_names:
            title = tuple("" if text is None else str(text) for text in table.column("title").to_pylist())
        try:
            return cls(
                item_id=_column(table, path, "item_id", pa.int64()).astype(np.int64),
                codes=np.stack(codes_MN, axis=1).astype(np.int32) if codes_MN else np.empty((0, 0), np.int32),
                popularity=_column(table, path, "popularity", pa.float32()).astype(np.float32),
                level_sizes=tuple(level_sizes),
                title=title,
            )
        except ValueError as error:
            raise BadBundle(f"{path.name}: {error}") from error


def _check_shapes(catalog: Catalog) -> None:
    items, levels = len(catalog.item_id), len(catalog.level_sizes)
    if not levels or min(catalog.level_sizes) < 1:
        raise ValueError(f"level sizes must be positive, got {catalog.level_sizes}")
    if catalog.codes.shape != (items, levels) or catalog.popularity.shape != (items,):
        raise ValueError(
            f"{items} items with {levels} levels do not fit codes {catalog.codes.shape} "
            f"and popularity {catalog.popularity.shape}"
        )
    if catalog.title is not None and len(catalog.title) != items:
        raise ValueError(f"{len(catalog.title)} titles for {items} items")
    kinds = (catalog.item_id.dtype, catalog.codes.dtype, catalog.popularity.dtype)
    if kinds != (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)):
        raise ValueError(f"item_id, codes, popularity must be int64, int32, float32, got {kinds}")


def _check_values(catalog: Catalog) -> None:
    if np.any(np.diff(catalog.item_id) <= 0):
        raise ValueError("item ids must be sorted and unique")
    for level, size in enumerate(catalog.level_sizes):
        code_N = catalog.codes[:, level]
        if np.any((code_N < 0) | (code_N >= size)):
            raise ValueError(f"codes of level {level + 1} must lie in 0..{size - 1}")
    if not np.all(np.isfinite(catalog.popularity)):
        raise ValueError("popularity must be finite")


def _column(table: pa.Table, path: Path, name: str, kind: pa.DataType) -> npt.NDArray[np.generic]:
    if name not in table.column_names:
        raise BadBundle(f"{path.name}: column {name} is missing")
    column = table.column(name)
    if column.type != kind or column.null_count:
        raise BadBundle(f"{path.name}: column {name} must be {kind} without nulls, is {column.type}")
    return cast("npt.NDArray[np.generic]", column.to_numpy())


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120]
