"""A directory that one process at a time may use: two writers on one file would ruin it.

A local stack holds it for as long as its servers run, a trainer for as long as it learns.  The kernel gives it up with
its holder, however that ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import StoreDown

LOCK_FILE = "in-use"


@contextmanager
def sole_use(directory: Path, otherwise: str) -> Iterator[None]:
    """Nobody else is inside this block for this directory.

    Raises StoreDown where somebody is: one line that ends with what to do `otherwise`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreDown(f"{directory} is in use by another {otherwise}") from error
        yield
