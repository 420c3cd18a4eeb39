"""The bundle that a local stack serves where none is named: built from data once, then reused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from contracts.errors import BadBundle
from contracts.manifest import Manifest
from contracts.progress import Progress
from model.build.presets import PRESETS
from model.build.source import Source
from model.build.train_prices import with_train_prices
from model.bundle.verify import read_manifest
from model.data.data_set import DataSet, read_data_set, write_data_set
from model.data.read_items import ITEMS_FILE
from model.data.synthetic import make_marketplace

SEED = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A bundle to serve, its manifest, the data it was built from, and whether it was there already."""

    bundle: Path
    manifest: Manifest
    data: DataSet
    reused: bool


def prepare(state: Path, data: Path | None, preset: str, progress: Progress) -> Prepared:
    """Read the data (None: a synthetic marketplace, made once) and build its bundle, unless the same is there.

    Raises BadDataSet, BadBundle, OSError.
    """
    directory = data or _marketplace(state, progress)
    opened = with_train_prices(read_data_set(directory), directory)
    place = state / "bundles" / opened.name
    source = Source.of(opened, preset=preset, recipe=PRESETS[preset], seed=SEED, release=version("rankgr"))
    if (known := _known(place)) is not None and source.made(known):
        return Prepared(place, known, opened, True)
    # Imported only where something is built: it brings scikit-learn, which costs a reused bundle's start seconds.
    from model.build.build_bundle import BuildBundle

    build = BuildBundle(PRESETS[preset], source, progress, datetime.now(UTC))
    return Prepared(place, build(opened, place, replace=True).manifest, opened, False)


def _known(place: Path) -> Manifest | None:
    try:
        return read_manifest(place)
    except BadBundle:
        return None


def _marketplace(state: Path, progress: Progress) -> Path:
    directory = state / "marketplace"
    # Written last: where it is missing, the making was cut short.
    if not (directory / ITEMS_FILE).exists():
        progress.begin("synthetic marketplace", 1)
        write_data_set(make_marketplace(seed=SEED), directory)
        progress.advance(1)
    return directory
