"""The bundles that arms begin with: built once for equal data and recipe, then used again."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from contracts.errors import BadBundle
from contracts.progress import Progress
from model.build.recipe import Recipe
from model.build.source import Source
from model.bundle.verify import read_manifest
from model.data.data_set import DataSet

PRESET = "tiny"


def built(data: DataSet, recipe: Recipe, seed: int, cache: Path, progress: Progress, now: datetime) -> Path:
    """The directory of a bundle of this data, below `cache`.  Raises BadDataSet, BadBundle, OSError."""
    source = Source.of(data, preset=PRESET, recipe=recipe, seed=seed, release=version("rankgr"))
    place = cache / f"{data.name}-{source.digest}"
    try:
        if source.made(read_manifest(place)):
            return place
    except BadBundle:
        pass
    # Imported only where something is built: it brings scikit-learn.
    from model.build.build_bundle import BuildBundle

    BuildBundle(recipe, source, progress, now)(data, place, replace=True)
    return place
