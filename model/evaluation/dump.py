"""Every evaluated list in one Parquet file, for analyses of one's own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.evaluation.evaluate import Evaluated

SCHEMA = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.int64()), ("score", pa.float32())])


class ListDump:
    """Collects lists and writes them as it goes; with no path it drops them."""

    def __init__(self, path: Path | None) -> None:
        self._writer = None if path is None else pq.ParquetWriter(path, SCHEMA)

    def __enter__(self) -> ListDump:
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
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
