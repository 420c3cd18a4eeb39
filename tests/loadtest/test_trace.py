"""A log becomes load: each row once, at its time, whoever sends it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.trace import SPREAD_S, BadTrace, Pace, TraceRow, copies, item_in, read_trace, schedule

ACTIONS = ("search for destination", "interaction item image", "clickout item", "filter selection")


def some_rows(users: int = 20, each: int = 5) -> list[TraceRow]:
    rows = [TraceRow(7.0 * step + user, str(user), "mobile", step) for user in range(users) for step in range(each)]
    return sorted(rows, key=lambda row: row.at_s)


def written(path: Path, **columns: list[object]) -> Path:
    rows: dict[str, list[object]] = {
        "timestamp": [1_000, 1_030, 1_010, 4_600],
        "user_id": [1, 1, 2, 1],
        "action_type": list(ACTIONS),
        "item_id": [-1, 55, 66, -1],
        "device": ["mobile", "mobile", "desktop", "tablet"],
    }
    rows.update(columns)
    pq.write_table(pa.table(rows), path)
    return path


def test_rows_come_by_time_and_say_what_they_are(tmp_path: Path) -> None:
    rows = read_trace(written(tmp_path / "trace.parquet"))
    assert rows == [
        TraceRow(0, "1", "mobile", None),
        TraceRow(10, "2", "desktop", 66, "purchase"),
        TraceRow(30, "1", "mobile", 55, "click"),
        TraceRow(3600, "1", "tablet", None),
    ]
    assert [row.at_s for row in read_trace(tmp_path / "trace.parquet", from_s=3600)] == [0]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"timestamp": [-1, -1, -1, -1]}, "time"),
        ({"timestamp": [None, None, None, None]}, "time"),
    ],
)
def test_a_log_without_times_is_refused(columns: dict[str, list[object]], named: str, tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match=named):
        read_trace(written(tmp_path / "trace.parquet", **columns))


def test_what_is_no_log_is_refused_with_one_line(tmp_path: Path) -> None:
    text, other = tmp_path / "text.parquet", tmp_path / "other.parquet"
    text.write_text("timestamp,user_id\n")
    pq.write_table(pa.table({"timestamp": [1], "user_id": [1]}), other)
    for path in (tmp_path / "none.parquet", tmp_path, text, other):
        with pytest.raises(BadTrace, match=path.name) as refused:
            read_trace(path)
        assert "\n" not in str(refused.value)
    with pytest.raises(BadTrace, match="that late"):
        read_trace(written(tmp_path / "trace.parquet"), from_s=1e9)


def test_compressed_rows_are_due_in_order_at_their_share_of_the_time() -> None:
    rows = some_rows()
    sent = list(schedule(rows, Pace(compress=10)))
    assert [due.row for due in sent] == rows
    assert [due.due_s for due in sent] == [row.at_s / 10 for row in rows]


def test_scaled_rows_have_users_of_their_own_close_behind_the_real_ones() -> None:
    rows = some_rows()
    sent = list(schedule(rows, Pace(compress=2, scale=3)))
    assert [due.due_s for due in sent] == sorted(due.due_s for due in sent)
    by_row = Counter(due.row for due in sent)
    assert set(by_row.values()) == {3}
    assert len({due.user_id for due in sent}) == 3 * 20
    assert all(0 <= due.due_s - due.row.at_s / 2 <= SPREAD_S / 2 for due in sent)


def test_a_part_of_a_copy_is_a_part_of_the_users_and_always_the_same() -> None:
    counts = [copies(str(user), 1.25) for user in range(2000)]
    assert set(counts) == {1, 2}
    assert 400 < sum(counts) - 2000 < 600
    assert counts == [copies(str(user), 1.25) for user in range(2000)]
    assert 400 < sum(copies(str(user), 0.25) for user in range(2000)) < 600


def test_processes_share_the_rows_without_a_gap_or_an_overlap_and_a_user_stays_with_one() -> None:
    rows = some_rows()
    alone = list(schedule(rows, Pace(scale=2)))
    parts = [list(schedule(rows, Pace(scale=2, share=share, shares=3))) for share in range(3)]
    assert sorted(due for part in parts for due in part) == sorted(alone)
    users = [{due.user_id for due in part} for part in parts]
    assert sum(map(len, users)) == len(set.union(*users))


@pytest.mark.parametrize(("compress", "scale"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_pace_without_a_sense_is_refused(compress: float, scale: float) -> None:
    with pytest.raises(BadTrace):
        Pace(compress, scale)


def test_an_item_of_the_log_is_always_the_same_item_of_the_shop() -> None:
    front = tuple(range(100, 150))
    found = [item_in(front, item) for item in range(1000)]
    assert found == [item_in(front, item) for item in range(1000)]
    assert set(found) == set(front)
