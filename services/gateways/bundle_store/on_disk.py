"""Blobs as files below a directory: whole by a rename, only once by a hard link.

`chosen` builds it for a path or a `file://` URL.  The directory may be shared by machines (NFS) where links are atomic.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BundleStoreDown
from services.gateways.bundle_store.blobs import CHUNK_BYTES

# Where files grow until they are whole; hidden, so that nobody takes them for anything.
PARTIAL = ".partial"
# No file takes so long: what is older was left behind by a writer that died.
LEFT_BEHIND_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class DiskBlobs:
    """See `Blobs`.  Made on the first write."""

    root: Path

    def sizes(self, folder: str) -> Mapping[str, int]:
        """See `Blobs`."""
        found: dict[str, int] = {}
        with self._refusals("cannot be listed"):
            for place, folders, names in os.walk(self.root / folder, onerror=_unless_missing):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    path = Path(place, name)
                    # One that another process removes meanwhile is not there.
                    with suppress(FileNotFoundError):
                        if not name.startswith("."):
                            found[path.relative_to(self.root).as_posix()] = path.stat().st_size
        return found

    def read(self, path: str) -> Iterator[bytes]:
        """See `Blobs`."""
        with self._refusals(f"{path} cannot be read"), (self.root / path).open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                yield part

    def put(self, path: str, content: Iterable[bytes]) -> None:
        """See `Blobs`."""
        with self._written(path, content) as staged:
            os.replace(staged, self.root / path)

    def create(self, path: str, content: bytes) -> bool:
        """See `Blobs`."""
        with self._written(path, [content]) as staged:
            try:
                # A rename would replace; a link is refused where the name is taken, and appears with its content.
                os.link(staged, self.root / path)
            except FileExistsError:
                return False
        return True

    def delete(self, path: str) -> None:
        """See `Blobs`.  A folder that is empty then goes as well."""
        with self._refusals(f"{path} cannot be removed"):
            (self.root / path).unlink(missing_ok=True)
        for folder in (self.root / path).parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    @contextmanager
    def _written(self, path: str, content: Iterable[bytes]) -> Iterator[Path]:
        target = self.root / path
        with self._refusals(f"{path} cannot be written"):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = self.root / PARTIAL
            partial.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(dir=partial)
            staged = Path(name)
            _sweep(partial, staged)
            try:
                with os.fdopen(handle, "wb") as file:
                    for part in content:
                        file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
                # Processes of other users read it.
                staged.chmod(0o644)
                yield staged
            finally:
                staged.unlink(missing_ok=True)

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BundleStoreDown(f"bundle store {self.root}: {what}: {error.strerror or error}") from error


def _sweep(partial: Path, newest: Path) -> None:
    """Remove what is a day older than the newest file, by the file system's own clock."""
    now_s = newest.stat().st_mtime
    for path in partial.iterdir():
        with suppress(FileNotFoundError):
            if now_s - path.stat().st_mtime > LEFT_BEHIND_S:
                path.unlink()


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
