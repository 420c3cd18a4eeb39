"""Neighbours are read as they were written; what is no such file is one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from contracts.errors import BadBundle
from model.semantic_id.neighbours import Neighbours

NAMES = ("from_item", "start", "to_item", "says")


def arrays() -> dict[str, np.ndarray[tuple[int], np.dtype[np.generic]]]:
    return {
        "from_item": np.array([3, 2**40]),
        "start": np.array([0, 2, 3]),
        "to_item": np.array([7, 2**40, 3]),
        "says": np.array([0.5, 0.25, 1e-9], np.float32),
    }


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = Neighbours(**arrays())  # type: ignore[arg-type]
    made.write(tmp_path / "n.safetensors")
    read = Neighbours.read(tmp_path / "n.safetensors")
    for name in NAMES:
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
        assert getattr(read, name).dtype == getattr(made, name).dtype


def test_nobody_has_neighbours(tmp_path: Path) -> None:
    none = np.zeros(0, np.int64)
    Neighbours(none, np.zeros(1, np.int64), none, np.zeros(0, np.float32)).write(tmp_path / "n.safetensors")
    assert not len(Neighbours.read(tmp_path / "n.safetensors").to_item)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("from_item", np.array([3, 3]), "sorted and distinct"),
        ("from_item", np.array([3]), "of one length"),
        ("start", np.array([0, 3, 2]), "rise from 0"),
        ("start", np.array([1, 2, 3]), "rise from 0"),
        ("says", np.array([0.5, np.nan, 1.0], np.float32), "finite and above 0"),
        ("says", np.array([0.5, 0.0, 1.0], np.float32), "finite and above 0"),
        ("says", np.array([0.5, 1.0, 1.0]), "says must be there, float32"),
        ("to_item", np.array([[7, 8, 9]]), "to_item must be there, int64"),
    ],
)
def test_parts_that_disagree_are_one_line(
    name: str, value: np.ndarray[tuple[int], np.dtype[np.generic]], says: str, tmp_path: Path
) -> None:
    save_file(arrays() | {name: value}, tmp_path / "n.safetensors")
    with pytest.raises(BadBundle, match=re.escape(says)) as caught:
        Neighbours.read(tmp_path / "n.safetensors")
    assert "\n" not in str(caught.value)


def test_a_file_of_anything_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "n.safetensors").write_bytes(b"{}")
    with pytest.raises(BadBundle, match="no safetensors file"):
        Neighbours.read(tmp_path / "n.safetensors")
    left = arrays()
    del left["says"]
    save_file(left, tmp_path / "m.safetensors")
    with pytest.raises(BadBundle, match="says must be there"):
        Neighbours.read(tmp_path / "m.safetensors")
