"""Small directories with a manifest: to a store a bundle is its files, whatever they mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

from contracts.manifest import MANIFEST_FILE, Manifest

NOW_MS = 1_763_769_600_000


def directory_of(place: Path, word: str, minute: int = 0) -> Path:
    """A bundle of two files; another `word` is another version, a later `minute` a later one."""
    directory = place / word
    (directory / "features").mkdir(parents=True)
    files = {"model.safetensors": f"weights of {word}".encode() * 100, "features/words.json": word.encode()}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    manifest = Manifest(
        model_version=word,
        catalog_version="c1",
        created_at=f"2026-01-18T09:{minute:02d}:00+00:00",
        data={},
        metrics={},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return directory


def content_of(directory: Path) -> dict[str, bytes]:
    """Path -> content of every file."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
