"""A directory that appears whole or not at all: made beside its place, checked there, then renamed.

Bundles and semantic ids are written so.  Knows nothing of what the files mean.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from contracts.errors import BadBundle
from model.bundle.verify import sha256_of


def write_whole(directory: Path, fill: Callable[[Path], None], marker: str, *, replace: bool = False) -> None:
    """Let `fill` write, and check, into an empty directory; rename it into place.

    What stands there is replaced only when asked, and only if it holds a file `marker` or nothing.
    Raises BadBundle where the target is in the way, OSError when the disk refuses, and what `fill` raises; in no
    case stays anything half-written behind.
    """
    # Where a link leads: replacing the link itself would leave the old one behind, and nothing pointing at it.
    directory = directory.resolve()
    check_target(directory, marker, replace=replace)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        fill(staging)
        open_to_all(staging)
        staging.chmod(0o755)
        _swap_in(staging, directory, marker, replace)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, SafetensorError):
            # How safetensors says that the disk refuses.
            raise OSError(f"cannot write {directory}: {error}") from error
        raise


def check_target(directory: Path, marker: str, *, replace: bool) -> None:
    """Raise BadBundle where nothing may be written; long work asks before it begins, not after it."""
    if not directory.exists():
        return
    if not replace:
        raise BadBundle(f"{directory} exists already; name another --out, or allow its replacement with --force")
    # Only our own or an empty directory may be removed: a mistyped --out must not cost somebody's files.
    if not directory.is_dir() or (not (directory / marker).exists() and any(directory.iterdir())):
        raise BadBundle(f"{directory} has no {marker}, so it is not replaced; name another --out")


def open_to_all(directory: Path) -> None:
    """Let everybody read: safetensors writes for the owner alone, processes of other users read."""
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def sums_of(directory: Path) -> dict[str, str]:
    """Path below the directory to sha256, for every file in it."""
    return {
        path.relative_to(directory).as_posix(): sha256_of(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _swap_in(staging: Path, directory: Path, marker: str, replace: bool) -> None:
    """Rename into place; what was there steps aside first and comes back if the rename fails."""
    if not directory.exists():
        os.replace(staging, directory)
        return
    check_target(directory, marker, replace=replace)
    aside = staging.with_name(staging.name + ".old")
    os.replace(directory, aside)
    try:
        os.replace(staging, directory)
    except OSError:
        os.replace(aside, directory)
        raise
    shutil.rmtree(aside)
