"""Numbered records of which each is written once: what compare-and-set is made of where files are all there is.

The store keeps a channel's moves and the turns in one each.  The record with the highest number counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.gateways.bundle_store.blobs import Blobs, whole

# A writer that slept while so many records were written is found out by what is missing; see `append`.
KEPT = 100
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class RecordLog:
    """Records below one folder."""

    blobs: Blobs
    folder: str

    def numbers(self) -> list[int]:
        """Of the records that are kept, ascending."""
        names = (path.rsplit("/", 1)[-1].removesuffix(".json") for path in self.blobs.sizes(self.folder))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def read(self, number: int) -> bytes | None:
        """One record; None where it is no longer kept."""
        return whole(self.blobs, self._path(number))

    def append(self, number: int, content: bytes) -> bool:
        """Write the record after `number` - 1, if that is the newest one; whether it was."""
        known = self.numbers()
        if number != (known[-1] if known else 0) + 1 or not self.blobs.create(self._path(number), content):
            return False
        # Records are deleted oldest first.  Had ours been written and deleted while we slept, so had its
        # predecessor: we would have written into the past, where nobody looks.
        now = self.numbers()
        if number > 1 and number - 1 not in now:
            self.blobs.delete(self._path(number))
            return False
        for old in now[:-KEPT]:
            self.blobs.delete(self._path(old))
        return True

    def _path(self, number: int) -> str:
        return f"{self.folder}/{number:0{_DIGITS}d}.json"
