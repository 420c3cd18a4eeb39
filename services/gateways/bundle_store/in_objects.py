"""Blobs in an object store, through fsspec: an object appears whole by itself, only once by a conditional write.

`chosen` builds it for `memory://`, `s3://` and `gs://`.  Credentials and endpoints are where fsspec's file systems look
for them; none is in the URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from contracts.errors import BundleStoreDown, RankGRError
from services.gateways.bundle_store.blobs import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class ObjectBlobs:
    """See `Blobs`.  `files` is an fsspec file system that keeps no listings; `name` is what messages call it."""

    files: Any
    root: str
    name: str

    def sizes(self, folder: str) -> Mapping[str, int]:
        """See `Blobs`."""
        with self._refusals("cannot be listed"):
            self.files.invalidate_cache()
            try:
                found = self.files.find(self._at(folder), detail=True)
            except FileNotFoundError:
                return {}
            start = len(self._at("")) if self.root else 0
            paths = {path[start:]: int(of["size"]) for path, of in found.items() if of["type"] == "file"}
        return {path: size for path, size in paths.items() if not path.rsplit("/", 1)[-1].startswith(".")}

    def read(self, path: str) -> Iterator[bytes]:
        """See `Blobs`."""
        with self._refusals(f"{path} cannot be read"), self.files.open(self._at(path), "rb") as file:
            while part := file.read(CHUNK_BYTES):
                yield part

    def put(self, path: str, content: Iterable[bytes]) -> None:
        """See `Blobs`.  An upload in parts becomes an object when it is completed; until then nothing is there."""
        with self._written(path), self.files.open(self._at(path), "wb") as file:
            for part in content:
                file.write(part)

    def create(self, path: str, content: bytes) -> bool:
        """See `Blobs`.  On S3: `If-None-Match: *`."""
        with self._written(path):
            try:
                self.files.pipe_file(self._at(path), content, mode="create")
            except FileExistsError:
                return False
        return True

    def delete(self, path: str) -> None:
        """See `Blobs`."""
        with self._refusals(f"{path} cannot be removed"):
            try:
                self.files.rm_file(self._at(path))
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"

    @contextmanager
    def _written(self, path: str) -> Iterator[None]:
        try:
            with self._refusals(f"{path} cannot be written"):
                yield
        except FileNotFoundError as error:
            # What is missing is the bucket.
            raise BundleStoreDown(f"bundle store {self.name}: {path} cannot be written: {error}") from error

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, RankGRError):
            raise
        except Exception as error:  # every file system behind fsspec has errors of its own
            said = " ".join(str(error).split()) or type(error).__name__
            raise BundleStoreDown(f"bundle store {self.name}: {what}: {said}") from error
