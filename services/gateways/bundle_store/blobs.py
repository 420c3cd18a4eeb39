"""What the store needs of a file system or an object store; `on_disk` and `in_objects` meet it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

CHUNK_BYTES = 4 << 20


class Blobs(Protocol):
    """Files under `/`-separated paths.  Every call may raise BundleStoreDown, with one line that says why."""

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Path -> bytes of every file below a folder, hidden ones left out; nothing where there is no folder."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """A file's content, a part at a time.  Raises FileNotFoundError."""
        ...

    def put(self, path: str, content: Iterable[bytes]) -> None:
        """Write a file; it appears whole, over one that was there."""
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write a file whole unless it is there: of several that try, exactly one is told True."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...


def whole(blobs: Blobs, path: str) -> bytes | None:
    """A small file's content; None where there is none."""
    try:
        return b"".join(blobs.read(path))
    except FileNotFoundError:
        return None
