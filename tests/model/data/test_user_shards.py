"""A log in shards is the same log: whole users, nothing lost, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadDataSet
from model.data.data_set import DataSet, read_data_set, write_data_set
from model.data.log import Split
from model.data.synthetic import make_marketplace
from model.data.timelines import HeldOut, Timeline, log_held_out, log_timelines
from model.data.user_shards import read_shards, split_by_user


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DataSet]:
    directory = tmp_path_factory.mktemp("market") / "data"
    write_data_set(make_marketplace(users=80, items=60, seed=1), directory)
    return directory, read_data_set(directory)


def facts(one: Timeline | HeldOut) -> tuple[object, ...]:
    plain: list[object] = [one.items.tolist(), one.levels.tolist(), one.timestamps.tolist()]
    if isinstance(one, HeldOut):
        return (*plain, one.circumstances, sorted(one.truth.items()))
    return (*plain, [(s.cut, s.items.tolist(), s.levels.tolist(), s.circumstances) for s in one.sessions])


def test_users_have_in_their_shard_what_they_have_in_the_whole_log(
    market: tuple[Path, DataSet], tmp_path: Path
) -> None:
    directory, data = market
    shards = split_by_user(directory, tmp_path / "shards", shard_events=1000)
    assert len(shards) > 3
    assert len(shards) == len(read_shards(tmp_path / "shards"))
    whole = {each.user: facts(each) for each in log_timelines(data.log)}
    found = {each.user: facts(each) for log in shards.logs() for each in log_timelines(log)}
    assert found == whole
    whole_held = {each.user: facts(each) for each in log_held_out(data.log, Split.TEST)}
    assert {each.user: facts(each) for log in shards.logs() for each in log_held_out(log, Split.TEST)} == whole_held
    users = [set(log.users) for log in shards.logs()]
    assert sum(map(len, users)) == len(set.union(*users)) == len(data.log.users)


def test_devices_of_a_trace_go_with_their_users(tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.mkdir()
    users = np.repeat(np.arange(40), 3)
    step = np.tile(np.arange(3), 40)
    log = {
        "user_id": pa.array(users),
        "item_id": pa.array(step),
        "behavior": pa.array(["click"] * 120),
        "timestamp": pa.array(1_700_000_000 + step),
        "session_id": pa.array(["s"] * 120),
        "step": pa.array(step),
    }
    trace = {name: log[name] for name in ("user_id", "session_id", "step")}
    trace["device"] = pa.array(np.where(users % 2, "mobile", "desktop").tolist())
    pq.write_table(pa.table(log), source / "interactions.parquet")
    pq.write_table(pa.table(trace), source / "trace.parquet")
    shards = split_by_user(source, tmp_path / "shards", shard_events=30)
    for piece in shards.logs():
        for user, device in zip(piece.user.tolist(), piece.device.tolist(), strict=True):
            assert piece.devices[device] == ("mobile" if int(piece.users[user]) % 2 else "desktop")


def test_what_is_no_log_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "shards"
    with pytest.raises(BadDataSet, match="is missing"):
        split_by_user(tmp_path, out)
    (tmp_path / "interactions.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadDataSet, match="no readable Parquet file"):
        split_by_user(tmp_path, out)
    pq.write_table(pa.table({"item_id": pa.array([1])}), tmp_path / "interactions.parquet")
    with pytest.raises(BadDataSet, match="lacks the column"):
        split_by_user(tmp_path, out)
    mixed = {"user_id": pa.array([1, 2]), "timestamp": pa.array([5, 1_700_000_000])}
    pq.write_table(pa.table(mixed), tmp_path / "interactions.parquet")
    with pytest.raises(BadDataSet, match="mixes"):
        split_by_user(tmp_path, out)
    assert not out.exists()


def test_many_shards_are_written_in_long_pieces(tmp_path: Path) -> None:
    """A writer keeps the description of every piece until the end: they must not grow with events times shards."""
    events, shards = 400_000, 100
    log = pa.table(
        {
            "user_id": np.random.default_rng(0).integers(0, 5_000, events),
            "item_id": np.arange(events) % 50,
            "behavior": pa.array(["click"] * events),
            "timestamp": np.arange(events),
        }
    )
    pq.write_table(log, tmp_path / "interactions.parquet", row_group_size=1 << 15)
    found = split_by_user(tmp_path, tmp_path / "shards", shard_events=events // shards)
    assert len(found) == shards
    groups = [pq.ParquetFile(each / "interactions.parquet").metadata.num_row_groups for each in found.directories]
    assert max(groups) <= 2
