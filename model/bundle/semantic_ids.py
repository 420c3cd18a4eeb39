"""Semantic ids as a directory of their own, before there is a model: `rankgr sid build` writes one, training takes it.

Its catalogue, quantiser and features are the files that a bundle has under the same names (docs/bundle.md).  The
rest is evidence: what it takes to report on the ids without the data they came from.  No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contracts.errors import BadBundle
from model.bundle.new_items import ENCODER_FILES, FEATURES_FOLDER, QUANTISER_FILE, feature_files, read_encoder_files
from model.bundle.prompt_side import CATALOG_FILE
from model.bundle.verify import read_described, verify_files
from model.bundle.whole import sums_of, write_whole
from model.semantic_id.catalog import Catalog
from model.semantic_id.evidence import Evidence
from model.semantic_id.features import ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.quantiser import Quantiser

SIDS_FILE = "semantic_ids.json"
EVIDENCE_FILE = "evidence.safetensors"

Facts = dict[str, str | int | float | bool | list[int] | None]


class SidManifest(BaseModel):
    """`semantic_ids.json`: what these ids are, what they were made from and how, and the sha256 of every other file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    catalog_version: str = Field(min_length=1, max_length=64)
    level_sizes: tuple[int, ...] = Field(min_length=1)
    created_at: str
    data: Facts
    settings: Facts
    files: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class SemanticIds:
    """Every item's codes, and what gave them and will give them to new items."""

    catalog: Catalog
    encoder: NewItemEncoder
    settings: Mapping[str, object]
    data: Mapping[str, object]

    @property
    def features(self) -> ItemFeatures:
        """Texts to feature vectors."""
        return self.encoder.features

    @property
    def quantiser(self) -> Quantiser:
        """Feature vectors to codes."""
        return self.encoder.quantiser


def write_semantic_ids(
    sids: SemanticIds, evidence: Evidence, directory: Path, created_at: datetime, *, replace: bool = False
) -> SidManifest:
    """Write, read back, rename.  Raises BadBundle where the target is in the way, OSError when the disk refuses."""

    def fill(staging: Path) -> None:
        sids.catalog.write(staging / CATALOG_FILE)
        arrays = {name: np.ascontiguousarray(array) for name, array in sids.quantiser.to_arrays().items()}
        save_file(arrays, staging / QUANTISER_FILE)
        (staging / FEATURES_FOLDER).mkdir()
        for name, content in feature_files(sids.features).items():
            (staging / FEATURES_FOLDER / name).write_bytes(content)
        save_file(evidence.to_arrays(), staging / EVIDENCE_FILE)
        manifest = {
            "format": 1,
            "catalog_version": sids.catalog.version,
            "level_sizes": list(sids.catalog.level_sizes),
            "created_at": created_at.isoformat(timespec="seconds"),
            "data": dict(sids.data),
            "settings": dict(sids.settings),
            "files": sums_of(staging),
        }
        (staging / SIDS_FILE).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        read_semantic_ids(staging)
        read_evidence(staging)

    write_whole(directory, fill, SIDS_FILE, replace=replace)
    return read_sid_manifest(directory)


def read_semantic_ids(directory: Path) -> SemanticIds:
    """Read and verify.  Raises BadBundle with one line that says what is wrong."""
    manifest = read_sid_manifest(directory)
    verify_files(directory, manifest, ENCODER_FILES | {CATALOG_FILE})
    catalog = Catalog.read(directory / CATALOG_FILE, manifest.level_sizes)
    if catalog.version != manifest.catalog_version:
        raise BadBundle(
            f"{directory}: the catalogue is version {catalog.version}, {SIDS_FILE} says {manifest.catalog_version}"
        )
    encoder = read_encoder_files(directory)
    if encoder.quantiser.level_sizes != catalog.level_sizes:
        raise BadBundle(
            f"{directory}: the quantiser's levels {encoder.quantiser.level_sizes} are not the catalogue's "
            f"{catalog.level_sizes}"
        )
    return SemanticIds(catalog, encoder, manifest.settings, manifest.data)


def read_evidence(directory: Path) -> Evidence:
    """What a report needs besides, of a directory that was verified already.  Raises BadBundle."""
    try:
        arrays = load_file(directory / EVIDENCE_FILE)
    except (OSError, SafetensorError) as error:
        raise BadBundle(f"{directory}: {EVIDENCE_FILE} is no safetensors file: {error}") from error
    return Evidence.from_arrays(arrays)


def read_sid_manifest(directory: Path) -> SidManifest:
    """`semantic_ids.json` alone, its files unchecked.  Raises BadBundle."""
    return read_described(
        directory, SIDS_FILE, SidManifest, "holds no semantic ids", "describes no semantic ids that this version reads"
    )
