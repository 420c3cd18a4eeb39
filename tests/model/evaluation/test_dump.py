"""The dump holds every list, and no dump costs nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.evaluation.dump import ListDump
from model.evaluation.evaluate import evaluate
from model.evaluation.recommender import Popularity

from .small import popular_catalog, user

CATALOG = popular_catalog({1: 0.5, 2: 5.0, 4: 9.0})


def test_a_dump_has_one_row_per_user_and_rank(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    users = [user("änne", history=[1, 2], click={4}), user("7", click={1})]
    with ListDump(path) as dump:
        evaluate(Popularity(CATALOG), users, ks=(1,), keep=dump.add)
    table = pq.read_table(path)
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("user_id", "string"),
        ("rank", "int32"),
        ("item_id", "int64"),
        ("score", "float"),
    ]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert sorted(rows) == [
        ("7", 1, 4, 9.0),
        ("7", 2, 2, 5.0),
        ("7", 3, 1, 0.5),
        ("änne", 1, 4, 9.0),
        ("änne", 2, 2, 5.0),
        ("änne", 3, 1, 0.5),
    ]


def test_a_dump_of_nobody_is_an_empty_table(tmp_path: Path) -> None:
    with ListDump(tmp_path / "lists.parquet"):
        pass
    assert pq.read_table(tmp_path / "lists.parquet").num_rows == 0


def test_a_dump_that_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    path.write_text("of last week")

    def interrupted(_more: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ListDump(path) as dump:
        evaluate(Popularity(CATALOG), [user("a", click={4})], ks=(1,), keep=dump.add, advance=interrupted)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("lists.parquet", "of last week")]


def test_users_share_row_groups(tmp_path: Path) -> None:
    with ListDump(tmp_path / "lists.parquet") as dump:
        evaluate(Popularity(CATALOG), [user(str(n), click={4}) for n in range(9)], ks=(1,), keep=dump.add)
    assert pq.ParquetFile(tmp_path / "lists.parquet").metadata.num_row_groups == 1


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    with ListDump(None) as dump:
        evaluate(Popularity(CATALOG), [user("a", click={4})], ks=(1,), keep=dump.add)
    assert not list(tmp_path.iterdir())
