"""A log cut into shards of whole users, so that a training holds one shard in memory, however many users there are.

Each shard is a directory that `read_interactions` reads like any data set's log.  Made by one pass over the source in
bounded memory; shards are about equally large.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import BadDataSet
from model.data.arrays import Int64
from model.data.assemble_log import assemble_log
from model.data.log import FIRST_CLOCK_SECOND, InteractionLog
from model.data.read_interactions import INTERACTIONS_FILE, LOG_COLUMNS, TRACE_COLUMNS, TRACE_FILE, read_interactions

# Events of one shard, about: some hundred bytes each while a shard is assembled.
SHARD_EVENTS = 1_000_000
BATCH_ROWS = 1 << 16
# Every write is a row group, whose description its writer keeps until the end: with many shards, short ones would be
# most of what is in memory.
WRITTEN_ROWS = 1 << 11
# Files that are open at once while shards are written.
MOST_SHARDS = 512


@dataclass(frozen=True, slots=True)
class UserShards:
    """Directories, one a shard; every user's events are in one of them."""

    directories: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.directories)

    def log(self, number: int) -> InteractionLog:
        """One shard's events.  Raises BadDataSet."""
        return assemble_log(read_interactions(self.directories[number]))

    def logs(self) -> Iterator[InteractionLog]:
        """All shards, one after the other."""
        return (self.log(number) for number in range(len(self)))


def split_by_user(source: Path, out: Path, shard_events: int = SHARD_EVENTS) -> UserShards:
    """Cut the log of a data set directory into shards below `out`, over what was there.  Raises BadDataSet, OSError."""
    path = source / INTERACTIONS_FILE
    if not path.is_file():
        raise BadDataSet(f"{path} is missing: a data set needs interactions.parquet and items.parquet")
    shutil.rmtree(out, ignore_errors=True)
    try:
        events = pq.ParquetFile(path).metadata.num_rows
        if not events:
            raise BadDataSet(f"{path} has no rows")
        count = min(MOST_SHARDS, -(-events // shard_events))
        directories = tuple(out / f"{number:04d}" for number in range(count))
        for directory in directories:
            directory.mkdir(parents=True)
        low, high = _deal(path, directories, INTERACTIONS_FILE, LOG_COLUMNS)
        if (source / TRACE_FILE).is_file():
            _deal(source / TRACE_FILE, directories, TRACE_FILE, TRACE_COLUMNS)
    except (pa.ArrowException, OSError) as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadDataSet(f"{path} is no readable Parquet file: {' '.join(str(error).split())[:200]}") from error
    if low < FIRST_CLOCK_SECOND <= high or (low == -1 and high != -1):
        shutil.rmtree(out, ignore_errors=True)
        raise BadDataSet(f"{path}: the column timestamp mixes Unix seconds with positions or unknown times")
    return read_shards(out)


def read_shards(out: Path) -> UserShards:
    """The shards that `split_by_user` wrote."""
    return UserShards(tuple(sorted(path.parent for path in out.glob(f"*/{INTERACTIONS_FILE}"))))


def _deal(path: Path, directories: tuple[Path, ...], name: str, columns: tuple[str, ...]) -> tuple[int, int]:
    """Append every row to its user's shard; the least and the greatest timestamp."""
    with pq.ParquetFile(path) as file:
        wanted = [column for column in columns if column in file.schema_arrow.names]
        if "user_id" not in wanted:
            raise BadDataSet(f"{path} lacks the column(s) user_id; it has {', '.join(file.schema_arrow.names)}")
        low, high = 2**62, -(2**62)
        writers: dict[int, pq.ParquetWriter] = {}
        try:
            rows = max(BATCH_ROWS, WRITTEN_ROWS * len(directories))
            for batch in file.iter_batches(batch_size=rows, columns=wanted):
                table = pa.Table.from_batches([batch])
                if "timestamp" in wanted and pa.types.is_integer(table["timestamp"].type):
                    found = pc.min_max(table["timestamp"]).as_py()
                    low, high = min(low, found["min"] or 0), max(high, found["max"] or 0)
                shard_E = _shards_of(table["user_id"], len(directories))
                for number in np.unique(shard_E).tolist():
                    if number not in writers:
                        target = directories[number] / name
                        writers[number] = pq.ParquetWriter(target, table.schema, compression="zstd")
                    writers[number].write_table(table.take(pa.array(np.flatnonzero(shard_E == number))))
        finally:
            for writer in writers.values():
                writer.close()
    return low, high


def _shards_of(users: pa.ChunkedArray, count: int) -> Int64:
    """The shard of each row's user, by a hash of the id as text: integers and strings may name the same users."""
    encoded = pc.cast(users, pa.string()).combine_chunks().dictionary_encode()
    hashed = [crc32((name or "").encode()) % count for name in encoded.dictionary.to_pylist()]
    index = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    shard_E: Int64 = np.array(hashed or [0], np.int64)[index]
    return shard_E
