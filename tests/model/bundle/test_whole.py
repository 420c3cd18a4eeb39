"""A directory appears whole or not at all, whatever ends the writing."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from contracts.errors import BadBundle
from model.bundle.whole import check_target, write_whole

MARKER = "ours.json"


def fill(staging: Path) -> None:
    (staging / MARKER).write_text("{}")
    (staging / "more").mkdir()
    (staging / "more" / "data").write_text("x")


def ends_with(error: BaseException) -> Callable[[Path], None]:
    def half(staging: Path) -> None:
        fill(staging)
        raise error

    return half


def no_room(staging: Path) -> None:
    # A name below a directory that nobody makes: safetensors reports it in its own way.
    save_file({"x": np.zeros(3, np.float32)}, staging / "no" / "such" / "place")


def test_a_directory_appears_with_all_that_was_written_for_everybody_to_read(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "out", fill, MARKER)
    assert (tmp_path / "a" / "out" / "more" / "data").read_text() == "x"
    assert (tmp_path / "a" / "out").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "out" / MARKER).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (SafetensorError("I/O error: No space left on device"), OSError),
        (BadBundle("no"), BadBundle),
    ],
    ids=["Ctrl-C", "exit", "disk full", "disk full, says safetensors", "does not verify"],
)
@pytest.mark.parametrize("replace", [False, True])
def test_whatever_ends_the_writing_leaves_what_was_there(
    tmp_path: Path, error: BaseException, seen: type[BaseException], replace: bool
) -> None:
    if replace:
        write_whole(tmp_path / "out", fill, MARKER)
        (tmp_path / "out" / "more" / "data").write_text("old")
    with pytest.raises(seen):
        write_whole(tmp_path / "out", ends_with(error), MARKER, replace=replace)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == (["out/more/data", f"out/{MARKER}"] if replace else [])
    if replace:
        assert (tmp_path / "out" / "more" / "data").read_text() == "old"


def test_what_safetensors_cannot_write_is_the_disks_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        write_whole(tmp_path / "out", no_room, MARKER)
    assert not list(tmp_path.iterdir())


def test_only_ours_or_an_empty_directory_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", MARKER, replace=True)
    check_target(tmp_path / "nowhere", MARKER, replace=False)
    with pytest.raises(BadBundle, match="exists already"):
        check_target(tmp_path / "empty", MARKER, replace=False)
    (tmp_path / "empty" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadBundle, match=f"has no {MARKER}"):
        check_target(tmp_path / "empty", MARKER, replace=True)
