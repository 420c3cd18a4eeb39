"""A bundle in which an item has another title: another version of the same catalogue and model."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def with_title(bundle: Path, copy: Path, item: int, title: str) -> Path:
    """A copy of a bundle in which an item is called so."""
    shutil.copytree(bundle, copy)
    table = pq.read_table(copy / "catalog.parquet")
    ids, titles = table["item_id"].to_pylist(), table["title"].to_pylist()
    titles[ids.index(item)] = title
    place = table.column_names.index("title")
    pq.write_table(table.set_column(place, "title", pa.array(titles, pa.string())), copy / "catalog.parquet")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["catalog.parquet"] = hashlib.sha256((copy / "catalog.parquet").read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy
