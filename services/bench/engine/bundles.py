"""The bundle that every host loads: written once per shape and seed into a cache, found again by its name."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from contracts.errors import BadBundle
from contracts.manifest import MANIFEST_FILE, PopularList
from model.bundle.prompt_side import CONFIG_FILE
from model.bundle.read import WEIGHTS_FILE
from model.bundle.verify import read_manifest
from model.bundle.write import BundleContents, write_bundle
from model.prompt import tokenizer_files
from model.semantic_id.catalog import Catalog
from services.bench.engine.shapes import Shape
from services.bench.engine.weights import spread_network

# Raised when the same shape and seed come to mean other weights or another catalogue.
RECIPE = 2
BACKBONE_FOLDER = "backbone"


def random_catalog(shape: Shape, seed: int) -> Catalog:
    """One item per semantic id, whose ids are a random share `density` of all combinations."""
    chance = np.random.default_rng(seed)
    there = chance.random(shape.level_sizes) < shape.density
    codes_NM = np.argwhere(there).astype(np.int32)
    return Catalog(
        item_id=np.arange(1, len(codes_NM) + 1, dtype=np.int64),
        codes=codes_NM,
        popularity=np.zeros(len(codes_NM), dtype=np.float32),
        level_sizes=shape.level_sizes,
    )


def bundle_of(shape: Shape, seed: int, cache: Path, now: datetime) -> Path:
    """The bundle's directory, written if it is not there yet.  Raises BadBundle, OSError."""
    wanted = json.dumps([RECIPE, shape.config().to_json(), shape.density, seed], sort_keys=True)
    directory = cache / f"{shape.name}-{seed}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    if (directory / MANIFEST_FILE).exists():
        read_manifest(directory)
        return directory
    if directory.exists():
        raise BadBundle(f"{directory} is in the way of a bundle for the benchmark; remove it")
    write_bundle(
        BundleContents(
            network=spread_network(shape.config(), seed, getattr(torch, shape.dtype)),
            prompt_format=shape.prompt_format(),
            catalog=random_catalog(shape, seed),
            popular=PopularList(default=()),
            quantiser={},
            features={},
            data={"name": f"random weights of shape {shape.name}", "seed": seed},
            metrics={},
            created_at=now,
        ),
        directory,
    )
    return directory


def backbone_of(bundle: Path, shape: Shape) -> Path:
    """The same backbone without the rank head: a plain Qwen2 directory, for programs that know no rank head.

    It stands beside the bundle, so that the bundle stays what its manifest lists.
    """
    directory = bundle.with_name(f"{bundle.name}-{BACKBONE_FOLDER}")
    if directory.exists():
        return directory
    staging = bundle.with_name(f".{directory.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    weights = load_file(bundle / WEIGHTS_FILE)
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("rank_head.")}
    save_file(kept, staging / WEIGHTS_FILE, metadata={"format": "pt"})
    shutil.copyfile(bundle / CONFIG_FILE, staging / CONFIG_FILE)
    for name, text in tokenizer_files(shape.prompt_format()).items():
        (staging / name).write_text(text)
    staging.rename(directory)
    return directory
