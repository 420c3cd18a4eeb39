"""The catalogue: what it refuses, what it gives back, what its version depends on."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadBundle
from model.semantic_id.catalog import Catalog


def small_catalog() -> Catalog:
    return Catalog(
        item_id=np.array([-5, 3, 8, 2**62], dtype=np.int64),
        codes=np.array([[0, 1], [2, 0], [2, 0], [1, 4]], dtype=np.int32),
        popularity=np.array([0.5, 3.0, 0.0, 7.25], dtype=np.float32),
        level_sizes=(3, 5),
        title=("red shoes", "", "a \u00fcber hat", "x"),
    )


def test_a_written_catalogue_reads_back_the_same(tmp_path: Path) -> None:
    catalog = small_catalog()
    catalog.write(tmp_path / "catalog.parquet")
    again = Catalog.read(tmp_path / "catalog.parquet", (3, 5))
    assert np.array_equal(again.item_id, catalog.item_id)
    assert np.array_equal(again.codes, catalog.codes)
    assert np.array_equal(again.popularity, catalog.popularity)
    assert again.title == catalog.title
    assert again.version == catalog.version
    schema = pq.read_schema(tmp_path / "catalog.parquet")
    assert [str(schema.field(name).type) for name in ("item_id", "c1", "c2", "popularity")] == [
        "int64",
        "int32",
        "int32",
        "float",
    ]


def test_a_catalogue_without_titles_or_items_is_one_too(tmp_path: Path) -> None:
    empty = Catalog(np.empty(0, np.int64), np.empty((0, 2), np.int32), np.empty(0, np.float32), level_sizes=(3, 5))
    empty.write(tmp_path / "c.parquet")
    again = Catalog.read(tmp_path / "c.parquet", (3, 5))
    assert len(again) == 0
    assert again.title is None
    assert again.rows_of([1, 2]).tolist() == [-1, -1]


def test_rows_are_found_and_unknown_items_are_marked() -> None:
    assert small_catalog().rows_of([8, 4, -5, 2**62, 2**63 - 1, -(2**63)]).tolist() == [2, -1, 0, 3, -1, -1]


def test_the_version_follows_everything_but_the_titles() -> None:
    catalog = small_catalog()
    assert len(catalog.version) == 12
    assert int(catalog.version, 16) >= 0
    assert replace(catalog, title=None).version == catalog.version
    changed = [
        replace(catalog, item_id=catalog.item_id + 1 - (catalog.item_id == 2**62)),
        replace(catalog, codes=catalog.codes[::-1].copy()),
        replace(catalog, popularity=catalog.popularity * 2),
        replace(catalog, level_sizes=(3, 6)),
    ]
    assert len({catalog.version, *(other.version for other in changed)}) == 5


def test_the_version_is_that_of_the_bytes_which_the_documentation_names() -> None:
    counts, ids = struct.pack("<3q", 4, 3, 5), struct.pack("<4q", -5, 3, 8, 2**62)
    codes, popularity = struct.pack("<8i", 0, 1, 2, 0, 2, 0, 1, 4), struct.pack("<4f", 0.5, 3.0, 0.0, 7.25)
    assert small_catalog().version == hashlib.sha256(counts + ids + codes + popularity).hexdigest()[:12]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("item_id", pa.array([3, 3, 8, 9], pa.int64()), "sorted and unique"),
        ("item_id", pa.array([3, 2, 8, 9], pa.int64()), "sorted and unique"),
        ("item_id", pa.array([1, 2, 3, 4], pa.int32()), "item_id must be int64"),
        ("item_id", pa.array([1, 2, None, 4], pa.int64()), "without nulls"),
        ("c1", pa.array([0, 1, 2, 3], pa.int32()), "level 1 must lie in 0..2"),
        ("c2", pa.array([0, -1, 2, 3], pa.int32()), "level 2 must lie in 0..4"),
        ("c3", pa.array([0, 0, 0, 0], pa.int32()), "more code columns"),
        ("popularity", pa.array([0.0, float("nan"), 1.0, 1.0], pa.float32()), "finite"),
        ("popularity", pa.array([0.0, float("inf"), 1.0, 1.0], pa.float32()), "finite"),
        ("popularity", None, "popularity is missing"),
        ("c2", None, "c2 is missing"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, column: str, values: pa.Array | None, words: str
) -> None:
    small_catalog().write(tmp_path / "catalog.parquet")
    table = pq.read_table(tmp_path / "catalog.parquet")
    if column in table.column_names:
        table = table.drop_columns([column])
    if values is not None:
        table = table.append_column(column, values)
    pq.write_table(table, tmp_path / "catalog.parquet")
    with pytest.raises(BadBundle, match=words) as caught:
        Catalog.read(tmp_path / "catalog.parquet", (3, 5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but not really"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "catalog.parquet").write_bytes(content)
    with pytest.raises(BadBundle, match=r"catalog\.parquet"):
        Catalog.read(tmp_path / "catalog.parquet", (3, 5))
