"""One Parquet file of a data set and its columns, checked while they are taken out.

Used by the two table readers.  What is wrong becomes one BadDataSet line; nothing is repaired silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import BadDataSet
from model.data.arrays import Float64, Int64
from model.data.assemble_log import Named


@dataclass(frozen=True, slots=True, eq=False)
class ParquetColumns:
    """The wanted columns of one file; `table` is a pyarrow.Table."""

    path: Path
    table: pa.Table

    @classmethod
    def read(cls, path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> ParquetColumns:
        """Read what is there of both lists; raises BadDataSet for a missing, damaged, empty or unfit file."""
        if not path.is_file():
            raise BadDataSet(f"{path} is missing: a data set needs interactions.parquet and items.parquet")
        try:
            present = list(pq.read_schema(path).names)
            wanted = [name for name in (*required, *optional) if name in present]
            if missing := [name for name in required if name not in present]:
                raise BadDataSet(f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(present)}")
            if twice := [name for name in wanted if present.count(name) > 1]:
                raise BadDataSet(f"{path} has the column {twice[0]} more than once")
            table = pq.read_table(path, columns=wanted, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            # pyarrow's messages may span lines; the first says what is wrong.
            raise BadDataSet(f"{path} is no readable Parquet file: {_first_line(error)}") from error
        if table.num_rows == 0:
            raise BadDataSet(f"{path} has no rows")
        return cls(path, table)

    def has(self, name: str) -> bool:
        """Whether the file has this column with at least one value in it."""
        return name in self.table.column_names and self.table[name].null_count < self.table.num_rows

    def integers(self, name: str, null: int | None = None) -> Int64:
        """A column of integers, Int64 [rows]; `null` stands for NULL, and without one NULL is refused."""
        column = self.table[name]
        if not pa.types.is_integer(column.type):
            raise BadDataSet(f"{self.path}: the column {name} is {column.type}, integers are wanted")
        if column.null_count and null is None:
            raise self._has_null(name)
        try:
            whole = pc.cast(column, pa.int64())
        except pa.ArrowInvalid as error:
            raise BadDataSet(f"{self.path}: the column {name} has values beyond 64 bits") from error
        values: Int64 = (pc.fill_null(whole, null) if whole.null_count else whole).to_numpy().copy()
        return values

    def numbers(self, name: str) -> Float64:
        """A column of numbers, Float64 [rows], NaN for NULL."""
        column = self.table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise BadDataSet(f"{self.path}: the column {name} is {column.type}, numbers are wanted")
        values: Float64 = pc.cast(column, pa.float64(), safe=False).to_numpy().astype(np.float64)
        return values

    def names(self, name: str, *, numbers_too: bool = False, null_refused: bool = True) -> Named:
        """A column of names by first appearance; integers count as names where `numbers_too` allows it."""
        column = self.table[name]
        value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (_is_text(value_type) or (numbers_too and pa.types.is_integer(value_type))):
            wanted = "integers or strings are" if numbers_too else "strings are"
            raise BadDataSet(f"{self.path}: the column {name} is {column.type}, {wanted} wanted")
        plain = pc.cast(column, value_type)
        if plain.null_count and null_refused:
            raise self._has_null(name)
        encoded = plain.combine_chunks().dictionary_encode()
        index = pc.fill_null(pc.cast(encoded.indices, pa.int32()), -1).to_numpy(zero_copy_only=False)
        return Named(tuple(str(value) for value in self._python(name, encoded.dictionary)), index.copy())

    def texts(self, name: str) -> tuple[str, ...]:
        """A column of strings, '' for NULL; a list of strings becomes a path, `a > b`."""
        column = self.table[name]
        if _is_list_of_text(column.type):
            paths = self._python(name, column)
            return tuple(" > ".join(part for part in path or () if part) for path in paths)
        value_type = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (_is_text(value_type) or pa.types.is_null(value_type)):
            raise BadDataSet(f"{self.path}: the column {name} is {column.type}, strings are wanted")
        return tuple(text or "" for text in self._python(name, column))

    def _python(self, name: str, values: pa.Array) -> list[str]:
        try:
            found: list[str] = values.to_pylist()
        except UnicodeDecodeError as error:
            raise BadDataSet(f"{self.path}: the column {name} has text that is not UTF-8") from error
        return found

    def _has_null(self, name: str) -> BadDataSet:
        count = self.table[name].null_count
        return BadDataSet(f"{self.path}: the column {name} is NULL in {count} row(s); fill or drop those rows")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list_of_text(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(is_list and _is_text(kind.value_type))


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
