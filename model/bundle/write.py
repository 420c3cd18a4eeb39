"""Write a bundle: into a temporary directory beside the target, verified there, then renamed into place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from contracts.manifest import MANIFEST_FILE, POPULAR_FILE, TRAINING_FILE, Manifest, PopularList
from model.bundle.neighbours import NEIGHBOURS_FILE
from model.bundle.new_items import FEATURES_FOLDER, QUANTISER_FILE
from model.bundle.prompt_side import CATALOG_FILE, CONFIG_FILE
from model.bundle.read import WEIGHTS_FILE, read_bundle
from model.bundle.whole import sums_of, write_whole
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat, tokenizer_files
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours

VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class BundleContents:
    """All that goes into a bundle; `features` holds what turns a new item into a feature vector."""

    network: RankGRNetwork
    prompt_format: PromptFormat
    catalog: Catalog
    popular: PopularList
    quantiser: Mapping[str, NDArray[np.float32]]
    features: Mapping[str, bytes]
    data: Mapping[str, str | int | float]
    metrics: Mapping[str, float]
    created_at: datetime
    tokenizer: Mapping[str, str | bytes] | None = None
    """Files by name; None: a tokenizer of the format's token names."""
    newest_interaction_ms: int | None = None
    """Unix ms of the newest interaction that the weights have seen; None: not told."""
    training: Mapping[str, object] | None = None
    """What the weights were taught, in the words of model/training/taught.py; None: not told."""
    neighbours: Neighbours | None = None
    """What the configuration's `decode.neighbours` orders by; None where it has none."""


def write_bundle(contents: BundleContents, directory: Path, *, replace: bool = False) -> Manifest:
    """Write, read back, rename.  An existing bundle is replaced only when asked, and only by a verified one.

    Raises BadBundle when the target is in the way or what was written does not verify; OSError when the disk
    refuses.  In either case nothing half-written stays behind.
    """
    manifests: list[Manifest] = []

    def fill(staging: Path) -> None:
        manifests.append(_write_files(contents, staging))
        read_bundle(staging)

    write_whole(directory, fill, MANIFEST_FILE, replace=replace)
    return manifests[-1]


def _write_files(contents: BundleContents, staging: Path) -> Manifest:
    config = contents.network.config.to_json()
    write_json(staging / CONFIG_FILE, config)
    save_weights(contents.network, staging)
    contents.catalog.write(staging / CATALOG_FILE)
    save_arrays(
        {name: np.ascontiguousarray(array) for name, array in contents.quantiser.items()},
        staging / QUANTISER_FILE,
    )
    (staging / POPULAR_FILE).write_text(contents.popular.model_dump_json())
    tokenizer = tokenizer_files(contents.prompt_format) if contents.tokenizer is None else contents.tokenizer
    for name, content in tokenizer.items():
        (staging / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (staging / FEATURES_FOLDER).mkdir()
    for name, content in contents.features.items():
        (staging / FEATURES_FOLDER / name).write_bytes(content)
    if contents.neighbours is not None:
        contents.neighbours.write(staging / NEIGHBOURS_FILE)
    if contents.training is not None:
        write_json(staging / TRAINING_FILE, contents.training)
    files = sums_of(staging)
    manifest = Manifest(
        model_version=model_version_of(files),
        catalog_version=contents.catalog.version,
        created_at=contents.created_at.isoformat(timespec="seconds"),
        data=dict(contents.data),
        metrics=dict(contents.metrics),
        files=files,
        newest_interaction_ms=contents.newest_interaction_ms,
    )
    write_json(staging / MANIFEST_FILE, manifest.model_dump(exclude_none=True))
    return manifest


def save_weights(network: RankGRNetwork, staging: Path) -> None:
    """`model.safetensors`, as every reader of it wants it."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_tensors(weights, staging / WEIGHTS_FILE, metadata={"format": "pt"})


def model_version_of(files: Mapping[str, str]) -> str:
    """Equal weights, configuration and neighbours are one version, wherever they were made; files: SHA-256 by name."""
    parts = [files[name] for name in (WEIGHTS_FILE, CONFIG_FILE, NEIGHBOURS_FILE) if name in files]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:VERSION_DIGITS]


def write_json(path: Path, content: object) -> None:
    """As every JSON file of a bundle is written."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
