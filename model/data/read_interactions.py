"""interactions.parquet (and trace.parquet, where there is one) become RawEvents.

Called by `read_data_set`.  Its rules are in docs/data.md; what it cannot take it refuses in one line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from contracts.behaviors import LEVEL_OF
from contracts.errors import BadDataSet
from contracts.ids import UserIdField
from model.data.arrays import Int8, Int64
from model.data.assemble_log import Named, RawEvents, nobody_knows
from model.data.columns import ParquetColumns
from model.data.log import FIRST_CLOCK_SECOND, Split
from model.data.requests import number_groups

INTERACTIONS_FILE = "interactions.parquet"
TRACE_FILE = "trace.parquet"
MAX_NAMES = 127
# The year 5138 in seconds, 1973 in milliseconds: above this somebody forgot to divide.
LAST_CLOCK_SECOND = 100_000_000_000
NO_ITEM = -1

_REQUIRED = ("user_id", "item_id", "behavior", "timestamp")
_OPTIONAL = ("session_id", "step", "scene", "device", "split")
LOG_COLUMNS = (*_REQUIRED, *_OPTIONAL)
TRACE_COLUMNS = ("user_id", "session_id", "step", "device")
_SPLIT_OF = {
    "train": Split.TRAIN,
    "valid": Split.VALID,
    "validation": Split.VALID,
    "val": Split.VALID,
    "test": Split.TEST,
}
_USER_IDS = TypeAdapter(list[UserIdField])


def read_interactions(directory: Path) -> RawEvents:
    """All events of the directory's log, in file order; raises BadDataSet."""
    columns = ParquetColumns.read(directory / INTERACTIONS_FILE, _REQUIRED, _OPTIONAL)
    user = _users(columns)
    behavior = _few_names(columns, "behavior", columns.names("behavior"))
    request = _requests(columns)
    return RawEvents(
        user=user,
        item=_items(columns, behavior),
        behavior=behavior,
        timestamp=_timestamps(columns),
        request=request,
        split=_splits(columns),
        scene=_optional_names(columns, "scene"),
        device=_devices(columns, directory / TRACE_FILE, user),
    )


def _users(columns: ParquetColumns) -> Named:
    user = columns.names("user_id", numbers_too=True)
    try:
        _USER_IDS.validate_python(list(user.names))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refused = user.names[int(first["loc"][0])][:40]
        raise BadDataSet(f"{columns.path}: the user_id {refused!r} is refused: {first['msg']}") from error
    return user


def _few_names(columns: ParquetColumns, name: str, named: Named) -> Named:
    if len(named.names) > MAX_NAMES:
        raise BadDataSet(f"{columns.path}: the column {name} has {len(named.names)} values, at most {MAX_NAMES} fit")
    return named


def _items(columns: ParquetColumns, behavior: Named) -> Int64:
    """Item ids; only an event that carries no feedback may name no item."""
    item_E = columns.integers("item_id", null=NO_ITEM)
    feedback = np.array([name in LEVEL_OF for name in behavior.names])
    if not feedback.any():
        found, known = ", ".join(behavior.names[:5]), ", ".join(LEVEL_OF)
        raise BadDataSet(f"{columns.path}: no behavior is known (found {found}); known are {known}")
    if bad := int(np.sum(feedback[behavior.index] & (item_E < 0))):
        raise BadDataSet(f"{columns.path}: {bad} event(s) with feedback have no item_id (NULL or negative)")
    return item_E


def _timestamps(columns: ParquetColumns) -> Int64:
    timestamp_E = columns.integers("timestamp")
    low, high = int(timestamp_E.min()), int(timestamp_E.max())
    problem = None
    if low < -1:
        problem = f"goes down to {low}; -1 means unknown, nothing else is negative"
    elif low == -1 and high != -1:
        problem = f"is unknown (-1) in {int(np.sum(timestamp_E == -1))} row(s) only; give all or none"
    elif high >= LAST_CLOCK_SECOND:
        problem = f"goes up to {high}, which is no Unix second; divide milliseconds by 1000"
    elif low < FIRST_CLOCK_SECOND <= high:
        problem = f"mixes positions (below {FIRST_CLOCK_SECOND}) and Unix seconds"
    if problem:
        raise BadDataSet(f"{columns.path}: the column timestamp {problem}")
    return timestamp_E


def _requests(columns: ParquetColumns) -> Int64 | None:
    if not columns.has("session_id"):
        return None
    sessions = columns.names("session_id", numbers_too=True).index.astype(np.int64)
    if not columns.has("step"):
        return sessions
    return number_groups(sessions, columns.integers("step"))


def _splits(columns: ParquetColumns) -> Int8 | None:
    if not columns.has("split"):
        return None
    split = columns.names("split")
    if unknown := [name for name in split.names if name not in _SPLIT_OF]:
        raise BadDataSet(f"{columns.path}: the split {unknown[0][:40]!r} is unknown; train, valid and test are")
    split_E: Int8 = np.array([_SPLIT_OF[name] for name in split.names], np.int8)[split.index]
    return split_E


def _optional_names(columns: ParquetColumns, name: str) -> Named:
    if not columns.has(name):
        return nobody_knows(columns.table.num_rows)
    return _few_names(columns, name, columns.names(name, null_refused=False))


def _devices(columns: ParquetColumns, trace_path: Path, user: Named) -> Named:
    """The device column; without one, what the trace beside the log says of each (user, session, step)."""
    if columns.has("device") or not (trace_path.is_file() and columns.has("session_id") and columns.has("step")):
        return _optional_names(columns, "device")
    trace = ParquetColumns.read(trace_path, TRACE_COLUMNS, ())
    device = _few_names(trace, "device", trace.names("device", null_refused=False))
    events = columns.table.num_rows
    key_of: list[Int64] = []
    for name in ("user_id", "session_id"):
        here = user if name == "user_id" else columns.names(name, numbers_too=True)
        there = trace.names(name, numbers_too=True)
        place_of = {known: place for place, known in enumerate(here.names)}
        moved = np.array([place_of.get(known, -1) for known in there.names], np.int64)
        key_of.append(np.concatenate([here.index.astype(np.int64), moved[there.index]]))
    key_of.append(np.concatenate([columns.integers("step"), trace.integers("step")]))
    group = number_groups(*key_of)
    device_of = np.full(int(group.max()) + 1, -1, np.int32)
    device_of[group[events:]] = device.index
    return Named(device.names, device_of[group[:events]])
