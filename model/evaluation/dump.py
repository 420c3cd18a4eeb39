"""Every evaluated list in one Parquet file, for analyses of one's own; whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.evaluation.evaluate import Evaluated

# A row group per user would be mostly its own description.
ROWS_AT_ONCE = 1 << 17
SCHEMA = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.int64()), ("score", pa.float32())])


class ListDump:
    """Collects lists and writes them as it goes, beside the path, where they stand once all went well.

    With no path it drops them.  Entering raises OSError where the disk refuses.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._partial = None if path is None else path.with_name(f".{path.name}.partial")
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> ListDump:
        if self._partial is not None:
            self._writer = pq.ParquetWriter(self._partial, SCHEMA)
        return self

    def add(self, evaluated: Evaluated) -> None:
        """One user's list; ranks count from 1."""
        if self._writer is None:
            return
        ranking = evaluated.ranking
        count = len(ranking.item_R)
        columns = [
            pa.array([evaluated.user.user] * count, pa.string()),
            pa.array(np.arange(1, count + 1, dtype=np.int32)),
            pa.array(ranking.item_R),
            pa.array(ranking.score_R),
        ]
        self._waiting.append(pa.Table.from_arrays(columns, schema=SCHEMA))
        self._rows += count
        if self._rows >= ROWS_AT_ONCE:
            self._write(self._writer)

    def _write(self, writer: pq.ParquetWriter) -> None:
        if self._waiting:
            writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._rows = [], 0

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._writer is None or self._partial is None or self._path is None:
            return
        try:
            if error is None:
                self._write(self._writer)
            self._writer.close()
            if error is None:
                os.replace(self._partial, self._path)
        finally:
            self._partial.unlink(missing_ok=True)
