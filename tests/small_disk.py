"""A file system of its own that can really be full: a tmpfs, mounted where that is permitted (root, in CI too)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FILL = "fill"


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """Mounted at `place`."""

    place: Path

    def fill(self) -> None:
        """Not a byte more fits on it."""
        with (self.place / FILL).open("wb", buffering=0) as file:
            block = bytes(1 << 16)
            while block:
                try:
                    file.write(block)
                except OSError:
                    block = block[: len(block) // 2]

    def make_room(self) -> None:
        """As it was before."""
        (self.place / FILL).unlink()


@contextmanager
def small_disk_at(place: Path, megabytes: int = 16) -> Iterator[SmallDisk]:
    """Skips the test, saying so, where nothing can be mounted."""
    place.mkdir(parents=True)
    options = f"size={megabytes}m,mode=0700"
    told = [str(shutil.which("mount") or "mount"), "-t", "tmpfs", "-o", options, "rankgr-test", str(place)]
    if os.geteuid() != 0:
        pytest.skip("a disk that is really full needs root, to mount a small one")
    mounted = subprocess.run(told, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a disk that is really full needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(place)
    finally:
        # Lazily: what is still open on it must not keep the test's directory from being removed.
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=True)
