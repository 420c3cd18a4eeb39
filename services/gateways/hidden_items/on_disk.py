"""The last known hidden items in a small file, for a process that starts while the store is empty or down.

Main of retrieval builds it.  Two lines: the SHA-256 of the second, and the set as JSON.  Several processes may share a
file: each replaces it whole.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contracts.errors import KeptSetFailed
from contracts.ids import INT64_MAX, INT64_MIN, ItemId
from services.gateways.hidden_items.port import MAX_HIDDEN, HiddenSet, Version

# Two numbers of 20 characters and what stands between them; a set that was restored may pass the bound of one change.
MOST_BYTES = 64 * 2 * MAX_HIDDEN

_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Content(msgspec.Struct, frozen=True, gc=False):
    born: _Count
    number: _Count
    since: dict[Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)], _Count]
    format: Literal[1] = 1


class DiskHiddenSet:
    """A KeptHiddenSet at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> HiddenSet | None:
        """See the port."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeptSetFailed(f"{self._path} cannot be read: {error.strerror}") from error
        digest, _, content = data.partition(b"\n")
        if len(data) > MOST_BYTES or digest != _digest_of(content):
            raise KeptSetFailed(f"{self._path} is damaged, or no file of hidden items")
        try:
            found = msgspec.json.decode(content, type=_Content)
        except msgspec.MsgspecError as error:
            raise KeptSetFailed(f"{self._path} is no file of hidden items of format 1: {error}") from error
        return HiddenSet(Version(found.born, found.number), {ItemId(item): at for item, at in found.since.items()})

    def write(self, known: HiddenSet) -> None:
        """See the port.  The directory is made where it is missing."""
        content = msgspec.json.encode(
            _Content(known.version.born, known.version.number, {int(item): at for item, at in known.since.items()})
        )
        data = _digest_of(content) + b"\n" + content
        if len(data) > MOST_BYTES:
            raise KeptSetFailed(f"{self._path}: {len(data)} bytes would be written, {MOST_BYTES} may be")
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise KeptSetFailed(f"{self._path} cannot be written: {error.strerror}") from error


def _digest_of(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
