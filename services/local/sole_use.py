"""A directory that one stack at a time may use: two servers on one append-only file would ruin it.

`embedded_servers` holds it for as long as the servers run.  The kernel gives it up with its holder, however that ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import StoreDown

LOCK_FILE = "in-use"


@contextmanager
def sole_use(directory: Path) -> Iterator[None]:
    """Nobody else is inside this block for this directory.  Raises StoreDown with one line where somebody is."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreDown(
                f"{directory} is in use by another stack: stop that one, or give this one another --state"
            ) from error
        yield
