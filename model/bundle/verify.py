"""Trust in a bundle's files: the manifest, and the sha256 of every file it lists.  No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.errors import BadBundle
from contracts.manifest import MANIFEST_FILE, Manifest

CHUNK_BYTES = 1 << 20

Described = TypeVar("Described", bound=BaseModel)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """The manifest alone, its files unchecked.  Raises BadBundle."""
    return read_described(directory, MANIFEST_FILE, Manifest, "is not a bundle", "is not a manifest this version reads")


def read_described(directory: Path, name: str, kind: type[Described], missing: str, other: str) -> Described:
    """A description of a directory.  Raises BadBundle: what it is that is `missing`, or that the file is of `other`."""
    path = directory / name
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadBundle(f"{directory} {missing}: it has no {name}") from None
    except OSError as error:
        raise BadBundle(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise BadBundle(f"{path} {other}: {first_complaint(error)}") from error


def first_complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a file, and where in it."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the file'}: {first['msg']}"


class Listing(Protocol):
    """A manifest of any kind, as far as it lists files."""

    @property
    def files(self) -> Mapping[str, str]:
        """Path below the directory to sha256."""
        ...


def verify_files(
    directory: Path, manifest: Listing, needed: frozenset[str] = frozenset(), only: frozenset[str] | None = None
) -> None:
    """Check the sha256 of every listed file (of `only` these), and that `needed` are listed.  Raises BadBundle."""
    if missing := sorted(needed - set(manifest.files)):
        raise BadBundle(f"{directory}: the manifest lists no {', '.join(missing)}")
    for name, wanted in sorted(manifest.files.items()):
        if only is not None and name not in only:
            continue
        path = directory / name
        if not name.isprintable() or not path.resolve().is_relative_to(directory.resolve()):
            raise BadBundle(f"{directory}: the manifest names a file outside the bundle: {name!r}")
        try:
            found = sha256_of(path)
        except FileNotFoundError:
            raise BadBundle(f"{directory}: {name} is missing") from None
        except OSError as error:
            raise BadBundle(f"{directory}: {name} cannot be read: {error.strerror}") from error
        if found != wanted:
            raise BadBundle(f"{directory}: {name} is damaged (sha256 {found[:12]}, the manifest says {wanted[:12]})")


def read_json(directory: Path, name: str) -> dict[str, object]:
    """A JSON object of the bundle.  Raises BadBundle."""
    try:
        content = json.loads((directory / name).read_bytes())
    except (OSError, ValueError) as error:
        raise BadBundle(f"{directory}: {name} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadBundle(f"{directory}: {name} must hold a JSON object")
    return content
