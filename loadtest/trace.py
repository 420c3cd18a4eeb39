"""A real log as load: rows with their due times, compressed, scaled, and shared among processes.

Decides what is sent when; sends nothing and reads no clock.  The file's columns: timestamp (seconds), user_id,
action_type, item_id (-1: none), device.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("timestamp", "user_id", "action_type", "item_id", "device")
# What makes the shop put a list together; all else is feedback about an item.
OPENS_A_PAGE = ("search for", "filter selection", "change of sort order")
BEHAVIORS = {"clickout item": "purchase"}
OTHERWISE = "click"
# Copies of a user act within this time of the real one: in lockstep each second's peak would be many times too high.
SPREAD_S = 60.0


class BadTrace(Exception):
    """A trace that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """What happened: `item_id` is None where the page is opened."""

    at_s: float
    user_id: str
    device: str
    item_id: int | None
    behavior: str = OTHERWISE


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A row to be sent `due_s` after the run's beginning."""

    due_s: float
    place: int
    user_id: str
    row: TraceRow


@dataclass(frozen=True, slots=True)
class Pace:
    """`compress`: trace seconds in one of ours.  `scale`: how many users stand for each one; a part is a share of them.

    `share` of `shares`: which of the users are this process's.
    """

    compress: float = 60.0
    scale: float = 1.0
    share: int = 0
    shares: int = 1

    def __post_init__(self) -> None:
        if not self.compress > 0 or not self.scale > 0:
            raise BadTrace("a trace is compressed and scaled by more than 0")


def read_trace(path: Path, from_s: float = 0.0) -> list[TraceRow]:
    """The rows from `from_s` after the log's beginning on, by time.  Raises BadTrace with one line."""
    try:
        table = pq.read_table(path, columns=list(COLUMNS), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise BadTrace(f"{path}: is not a trace: {str(error).splitlines()[0]}") from error
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise BadTrace(f"{path}: has no column {', '.join(missing)}")
    table = table.sort_by("timestamp")
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    if not columns[0] or columns[0][0] is None or columns[0][0] < 0:
        raise BadTrace(f"{path}: has no rows with a time")
    begins = columns[0][0] + from_s
    rows = [_row(at - begins, *rest) for at, *rest in zip(*columns, strict=True) if at >= begins]
    if not rows:
        raise BadTrace(f"{path}: has no row that late")
    return rows


def _row(at_s: float, user_id: object, action: str, item_id: int, device: str) -> TraceRow:
    if action.startswith(OPENS_A_PAGE) or item_id < 0:
        return TraceRow(at_s, str(user_id), device, None)
    return TraceRow(at_s, str(user_id), device, item_id, BEHAVIORS.get(action, OTHERWISE))


def schedule(rows: Sequence[TraceRow], pace: Pace) -> Iterator[Due]:
    """This process's rows by due time; equal arguments give equal rows, and the shares together give each row once."""
    waiting: list[Due] = []
    for place, row in enumerate(rows):
        # Nobody acts before the real user: once a row's own time has come, all that is due earlier is known.
        while waiting and waiting[0].due_s <= row.at_s / pace.compress:
            yield heapq.heappop(waiting)
        for copy in range(copies(row.user_id, pace.scale)):
            name = f"{row.user_id}~{copy}"
            if crc32(name.encode()) % pace.shares == pace.share:
                due_s = (row.at_s + _behind_s(name, copy)) / pace.compress
                heapq.heappush(waiting, Due(due_s, place, name, row))
    while waiting:
        yield heapq.heappop(waiting)


def copies(user_id: str, scale: float) -> int:
    """How many users stand for this one: whole copies, and one more for a part of the users."""
    whole = int(scale)
    return whole + (Random(f"copies of {user_id}").random() < scale - whole)


def item_in(shop_front: Sequence[int], item_id: int) -> int:
    """An item of the shop for one of the trace: the same for the same, whichever catalogue is served."""
    return shop_front[crc32(str(item_id).encode()) % len(shop_front)]


def _behind_s(name: str, copy: int) -> float:
    return Random(f"behind {name}").random() * SPREAD_S if copy else 0.0
