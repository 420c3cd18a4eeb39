"""The fallback lists of a bundle: `popular.json`, checked against the manifest's sha256 before it is used.

Main of retrieval builds it once; it reads nothing else of the bundle and nothing afterwards.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from contracts.errors import BadBundle
from contracts.ids import ItemId
from contracts.manifest import MANIFEST_FILE, POPULAR_FILE, Manifest, PopularList

# A list of a million items; what is larger is no list that anybody serves.
MOST_BYTES = 32 * 1024 * 1024

Parsed = TypeVar("Parsed", bound=BaseModel)


class DiskFallbackLists:
    """A bundle's popular lists, in memory after `read`."""

    def __init__(self, manifest: Manifest, lists: PopularList) -> None:
        self.manifest = manifest
        self._default = tuple(map(ItemId, lists.default))
        self._scenes = {scene: tuple(map(ItemId, items)) for scene, items in lists.scenes.items()}

    @classmethod
    def read(cls, bundle: Path) -> DiskFallbackLists:
        """Read and check; BadBundle with one line that says what is wrong."""
        manifest = _parse(Manifest, bundle / MANIFEST_FILE, _read(bundle / MANIFEST_FILE))
        expected = manifest.files.get(POPULAR_FILE)
        if expected is None:
            raise BadBundle(f"{bundle / MANIFEST_FILE} does not list {POPULAR_FILE}")
        data = _read(bundle / POPULAR_FILE)
        if hashlib.sha256(data).hexdigest() != expected:
            raise BadBundle(f"{bundle / POPULAR_FILE} is damaged: its sha256 is not the manifest's")
        return cls(manifest, _parse(PopularList, bundle / POPULAR_FILE, data))

    @property
    def version(self) -> str:
        """See the port."""
        # Equal weights may come with another list.
        return self.manifest.files[POPULAR_FILE][:12]

    def popular(self, scene: str | None) -> tuple[ItemId, ...]:
        """See the port."""
        return self._default if scene is None else self._scenes.get(scene, self._default)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadBundle(f"{path} is larger than {MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BadBundle(f"cannot read {path}: {error.strerror}; is this a bundle?") from error


def _parse(kind: type[Parsed], path: Path, data: bytes) -> Parsed:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        raise BadBundle(f"{path} is no {kind.__name__} of format 1: {place}: {first['msg']}") from error
