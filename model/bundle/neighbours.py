"""`neighbours.safetensors` of a bundle: there where `decode.neighbours` of its configuration orders by them."""

from __future__ import annotations

from pathlib import Path

from contracts.errors import BadBundle
from contracts.manifest import Manifest
from model.bundle.prompt_side import CONFIG_FILE
from model.network.config import RankGRConfig
from model.semantic_id.neighbours import Neighbours

NEIGHBOURS_FILE = "neighbours.safetensors"


def read_neighbours(directory: Path, manifest: Manifest, config: RankGRConfig) -> Neighbours | None:
    """What the lists of a bundle are ordered by beside its model; None: by nothing.  Raises BadBundle."""
    if config.decode.neighbours is None:
        return None
    if NEIGHBOURS_FILE not in manifest.files:
        raise BadBundle(f"{directory}: {CONFIG_FILE} orders by neighbours, the manifest lists no {NEIGHBOURS_FILE}")
    return Neighbours.read(directory / NEIGHBOURS_FILE)
