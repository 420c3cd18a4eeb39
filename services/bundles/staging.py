"""Bundles of the store on this machine's disk: fetched beside their place, renamed when all is there, few at a time.

Followers use it.  Nothing here says whether a bundle is any good; whoever reads it does.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from services.gateways.bundle_store.port import BundleStore


@dataclass(frozen=True, slots=True)
class Staging:
    """A directory that one process alone writes to.  `names`: the files that are fetched; None: all of them."""

    place: Path
    names: Collection[str] | None = None

    def fetched(self, store: BundleStore, version: str) -> Path:
        """The version's directory, fetched unless it is there.

        Raises NoSuchBundle, BadBundle, BundleStoreDown; OSError where this disk refuses, or has too little room.
        """
        target = self.place / version
        if target.exists():
            return target
        self.place.mkdir(parents=True, exist_ok=True)
        needed = store.bundle(version).nbytes if self.names is None else 0
        free = shutil.disk_usage(self.place).free
        if needed > free:
            # Found out before the disk is full of half a bundle.
            raise OSError(f"staging needs {needed:,} bytes, {self.place} has {free:,}")
        partial = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=self.place))
        try:
            store.fetch(version, partial, self.names)
            os.replace(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def discard(self, version: str) -> None:
        """Remove a version: it turned out to be damaged, and may be fetched anew."""
        self._remove(self.place / version)

    def serves(self, version: str) -> None:
        """Remember that this one is served, and remove all others, unfinished ones too."""
        if not self.place.is_dir():
            return
        for path in self.place.iterdir():
            if path.name != version:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        """Out of its place in one step first: a kill in the middle of removing must not leave half a version there."""
        if not path.name.startswith(".") and path.exists():
            gone = Path(tempfile.mkdtemp(prefix=".gone.", dir=self.place))
            path = path.rename(gone / path.name).parent
        shutil.rmtree(path, ignore_errors=True)

    def known(self) -> list[str]:
        """Versions that are there, the one that was fetched last at the end."""
        if not self.place.is_dir():
            return []
        whole = [path for path in self.place.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return [path.name for path in sorted(whole, key=lambda path: (path.stat().st_mtime_ns, path.name))]
