"""Training from shards: the same samples as from memory, and no more memory for more users."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.data.data_set import read_data_set, write_data_set
from model.data.synthetic import make_marketplace
from model.data.user_shards import split_by_user
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.batches import epoch
from model.training.config import FitConfig, OptimiserConfig
from model.training.log_blocks import LogBlocks
from model.training.session_table import SessionTable

ITEMS = 60


def catalog(item_id: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Catalog:
    codes = np.stack(np.divmod(np.arange(len(item_id)), 16), 1).astype(np.int32)
    return Catalog(item_id, codes, np.ones(len(item_id), np.float32), (16, 16))


def sessions(table: SessionTable) -> set[tuple[object, ...]]:
    """Every session as what it sees and what came of it."""
    return {
        (
            tuple(table.tokens_L[table.begin_N[n] : table.begin_N[n] + table.visible_N[n]].tolist()),
            tuple(table.context_NC[n].tolist()),
            tuple(table.row_P[table.bounds_N[n] : table.bounds_N[n + 1]].tolist()),
            tuple(table.level_P[table.bounds_N[n] : table.bounds_N[n + 1]].tolist()),
        )
        for n in range(len(table))
    }


def test_shards_hold_the_sessions_that_the_whole_log_holds(tmp_path: Path) -> None:
    write_data_set(make_marketplace(users=60, items=ITEMS, seed=2), tmp_path / "data")
    data = read_data_set(tmp_path / "data")
    known = catalog(data.items.item_id)
    fmt = PromptFormat.create(known.level_sizes, data.log.scenes, max_tokens=64)
    whole = LogBlocks((data.log,), fmt, known)
    shards = LogBlocks(split_by_user(tmp_path / "data", tmp_path / "shards", shard_events=800), fmt, known)
    assert (len(whole), len(shards)) == (1, -(-len(data.log.item) // 800))
    found = [sessions(shards[number]) for number in range(len(shards))]
    assert set.union(*found) == sessions(whole[0])
    assert sum(len(shards[number]) for number in range(len(shards))) == len(whole[0])


def many_users(directory: Path, users: int) -> Path:
    """Users with twenty clicks each, in files whose row groups are small."""
    directory.mkdir()
    schema = pa.schema([(name, pa.int64()) for name in ("user_id", "item_id", "timestamp")])
    schema = schema.append(pa.field("behavior", pa.string()))
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(directory / "interactions.parquet", schema) as writer:
        for start in range(0, users, 500):
            count = min(500, users - start)
            columns = [
                pa.array(np.repeat(np.arange(start, start + count), 20)),
                pa.array(rng.integers(0, ITEMS, 20 * count)),
                pa.array(np.tile(1_700_000_000 + np.arange(20), count)),
                pa.array(["click"] * (20 * count)),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return directory


def peak_bytes(source: Path, out: Path) -> int:
    """What Python and numpy hold at most, from the cutting of the shards to the end of an epoch of batches."""
    known = catalog(np.arange(ITEMS, dtype=np.int64))
    fmt = PromptFormat.create(known.level_sizes, (), max_tokens=64)
    config = FitConfig(optimiser=OptimiserConfig(batch_tokens=2048))
    tracemalloc.start()
    blocks = LogBlocks(split_by_user(source, out, shard_events=10_000), fmt, known)
    tokens = sum(batch.packed(fmt).tokens for batch in epoch(blocks, fmt, known, config, np.random.default_rng(0)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tokens > 0
    return peak


def test_six_times_as_many_users_take_no_more_memory(tmp_path: Path) -> None:
    few = peak_bytes(many_users(tmp_path / "few", 1_000), tmp_path / "few-shards")
    many = peak_bytes(many_users(tmp_path / "many", 6_000), tmp_path / "many-shards")
    assert many < 1.3 * few
