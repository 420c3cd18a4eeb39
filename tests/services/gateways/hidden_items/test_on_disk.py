"""The hidden items that a process keeps on disk: whole or not at all, and nothing that was damaged is believed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import KeptSetFailed
from contracts.ids import INT64_MAX, INT64_MIN, ItemId
from services.gateways.hidden_items.on_disk import MOST_BYTES, DiskHiddenSet
from services.gateways.hidden_items.port import MAX_HIDDEN, HiddenSet, Version

SOME = HiddenSet(Version(1_763_769_600_000, 7), {ItemId(INT64_MIN): 0, ItemId(INT64_MAX): 2**53 - 1, ItemId(9): 5})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "hidden-items"


def test_a_set_comes_back_as_it_was_and_leaves_nothing_beside_it(path: Path) -> None:
    assert DiskHiddenSet(path).read() is None
    DiskHiddenSet(path).write(HiddenSet(Version(1, 1), {ItemId(1): 0}))
    DiskHiddenSet(path).write(SOME)
    assert DiskHiddenSet(path).read() == SOME
    assert list(path.parent.iterdir()) == [path]


def test_the_largest_set_has_room(path: Path) -> None:
    items = range(INT64_MIN, INT64_MIN + 2 * MAX_HIDDEN)
    full = HiddenSet(Version(2**53 - 1, 2**53 - 1), {ItemId(item): 2**53 - 1 for item in items})
    DiskHiddenSet(path).write(full)
    assert DiskHiddenSet(path).read() == full


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0), value=st.integers(0, 255), kept=st.floats(0, 1))
def test_a_byte_that_turned_or_an_end_that_is_missing_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, kept: float
) -> None:
    path = tmp_path_factory.mktemp("kept") / "hidden-items"
    DiskHiddenSet(path).write(SOME)
    data = bytearray(path.read_bytes())
    whole = bytes(data)
    data[place % len(data)] = value
    for damaged in (bytes(data), whole[: int(kept * len(whole))]):
        path.write_bytes(damaged)
        if damaged == whole:
            assert DiskHiddenSet(path).read() == SOME
        else:
            with pytest.raises(KeptSetFailed, match="damaged"):
                DiskHiddenSet(path).read()


@pytest.mark.parametrize(
    "content",
    [
        b'{"born":1,"number":1,"since":{"1":0},"format":2}',
        b'{"born":1,"number":1,"since":{"1":-1},"format":1}',
        b'{"born":1,"number":1,"since":{"9223372036854775808":0},"format":1}',
        b'{"born":1,"since":{},"format":1}',
        b"[]",
    ],
)
def test_what_is_whole_but_means_nothing_here_is_refused_in_one_line(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(KeptSetFailed, match="format 1") as caught:
        DiskHiddenSet(path).read()
    assert "\n" not in str(caught.value)


def test_a_file_without_end_is_not_read_to_its_end(path: Path) -> None:
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(1000 * MOST_BYTES)
    with pytest.raises(KeptSetFailed, match="damaged"):
        DiskHiddenSet(path).read()


def test_where_nothing_can_be_read_or_written_the_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "hidden-items", tmp_path):
        with pytest.raises(KeptSetFailed, match=str(path)):
            DiskHiddenSet(path).write(SOME)
    with pytest.raises(KeptSetFailed, match="cannot be read"):
        DiskHiddenSet(tmp_path).read()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]
