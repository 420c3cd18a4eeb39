"""A data set: one log and one item table, as a directory with two Parquet files (docs/data.md).

Called by the command line, the builder and the evaluation.  Never writes into a directory it only reads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.arrays import Int8, Int16, Int32
from model.data.assemble_log import assemble_log
from model.data.items import ItemTable
from model.data.log import InteractionLog, Split
from model.data.read_interactions import INTERACTIONS_FILE, read_interactions
from model.data.read_items import ITEMS_FILE, read_items


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """What users did, and with what; `items` covers every item that a feedback event names."""

    name: str
    log: InteractionLog
    items: ItemTable


class Description(TypedDict):
    """What `rankgr data describe --json` prints; timestamps are null where the log has no clock."""

    name: str
    users: int
    items: int
    interactions: int
    behaviors: dict[str, int]
    levels: dict[str, int]
    splits: dict[str, int]
    sessions: int
    first_timestamp: int | None
    last_timestamp: int | None
    ordered: bool
    clock: bool
    scenes: list[str]
    devices: list[str]
    items_with_title: int
    items_with_text: int
    items_with_feedback: int


def read_data_set(directory: Path) -> DataSet:
    """Read and check a data set directory; raises BadDataSet with one line that says what to do."""
    if not directory.is_dir():
        raise BadDataSet(f"{directory} is no directory: name one with {INTERACTIONS_FILE} and {ITEMS_FILE}")
    log = assemble_log(read_interactions(directory))
    items = read_items(directory, np.unique(log.item[log.level > 0]))
    return DataSet(directory.resolve().name or "data", log, items)


def check_no_data_set(directory: Path) -> None:
    """Raise BadDataSet where a data set, or half of one, would be written over."""
    for name in (INTERACTIONS_FILE, ITEMS_FILE):
        if (directory / name).exists():
            raise BadDataSet(
                f"{directory / name} exists already; name another --out, or allow its replacement with --force"
            )


def write_data_set(data: DataSet, directory: Path) -> None:
    """Write both files, each whole or not at all, over any that were there; raises BadDataSet."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_whole(_interaction_table(data.log), directory / INTERACTIONS_FILE)
        _write_whole(_item_table(data.items), directory / ITEMS_FILE)
    except OSError as error:
        raise BadDataSet(f"cannot write a data set to {directory}: {error.strerror or error}") from error


def describe(data: DataSet) -> Description:
    """Count what is there."""
    log, items = data.log, data.items
    per_behavior = np.bincount(log.behavior, minlength=len(log.behaviors)).tolist()
    per_level = np.bincount(log.level, minlength=len(Level) + 1).tolist()
    per_split = np.bincount(log.split, minlength=len(Split)).tolist()
    return Description(
        name=data.name,
        users=len(log.users),
        items=len(items.item_id),
        interactions=len(log.item),
        behaviors=dict(zip(log.behaviors, per_behavior, strict=True)),
        levels={"none": per_level[0]} | {level.name.lower(): per_level[level] for level in Level},
        splits={split.name.lower(): per_split[split] for split in Split},
        sessions=int(log.session.max()) + 1,
        first_timestamp=int(log.timestamp.min()) if log.clock else None,
        last_timestamp=int(log.timestamp.max()) if log.clock else None,
        ordered=log.ordered,
        clock=log.clock,
        scenes=list(log.scenes),
        devices=list(log.devices),
        items_with_title=sum(map(bool, items.title)),
        items_with_text=sum(map(bool, items.text)),
        items_with_feedback=len(np.unique(log.item[log.level > 0])),
    )


def _interaction_table(log: InteractionLog) -> pa.Table:
    columns = {
        "user_id": _names(log.users, log.user),
        "item_id": pa.array(log.item),
        "behavior": _names(log.behaviors, log.behavior),
        "timestamp": pa.array(log.timestamp),
        "session_id": pa.array(log.session),
        "split": _names(tuple(split.name.lower() for split in Split), log.split),
    }
    if log.scenes:
        columns["scene"] = _names(log.scenes, log.scene)
    if log.devices:
        columns["device"] = _names(log.devices, log.device)
    return pa.table(columns)


def _item_table(items: ItemTable) -> pa.Table:
    columns = {
        "item_id": pa.array(items.item_id),
        "title": _texts(items.title),
        "text": _texts(items.text),
    }
    if items.brand:
        columns["brand"] = _texts(items.brand)
    if items.categories:
        columns["categories"] = _texts(items.categories)
    if items.price is not None:
        columns["price"] = pa.array(items.price, mask=np.isnan(items.price))
    return pa.table(columns)


def _names(names: tuple[str, ...], index: Int8 | Int16 | Int32) -> pa.Array:
    known = pa.array(index.astype(np.int32), mask=index < 0)
    return pa.DictionaryArray.from_arrays(known, pa.array(names, pa.string())).cast(pa.string())


def _texts(texts: tuple[str, ...]) -> pa.Array:
    return pa.array([text or None for text in texts], pa.string())


def _write_whole(table: pa.Table, path: Path) -> None:
    """Write beside the target and rename, so that no reader ever meets half a file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        pq.write_table(table, partial, compression="zstd")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
