"""What changed from one bundle to another: settings, items, weights, metrics.  For people who decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.bundle.prompt_side import CONFIG_FILE
from model.bundle.read import Bundle
from model.bundle.verify import read_json
from model.semantic_id.catalog import Catalog

# Shapes: N items that both catalogues know.


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """How many items came, went, got another semantic id, and stand in both catalogues."""

    added: int
    removed: int
    moved: int
    common: int


@dataclass(frozen=True, slots=True)
class Difference:
    """`settings`: dotted key -> before and after; `weights`: tensor -> |after - before| / |before|.

    A tensor that only one side has, or of another shape, is infinitely far.  `metrics`: name -> before and after.
    """

    settings: dict[str, tuple[object, object]]
    items: ItemChanges
    weights: dict[str, float]
    metrics: dict[str, tuple[float | None, float | None]]


def difference(one: Bundle, other: Bundle) -> Difference:
    """From `one` to `other`, both read and verified."""
    return Difference(
        settings=_settings(one.path, other.path),
        items=_items(one.catalog, other.catalog),
        weights=_weights(one.weights, other.weights),
        metrics=_pairs(one.manifest.metrics, other.manifest.metrics),
    )


def _settings(one: Path, other: Path) -> dict[str, tuple[object, object]]:
    before, after = _flat(read_json(one, CONFIG_FILE)), _flat(read_json(other, CONFIG_FILE))
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _flat(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _items(one: Catalog, other: Catalog) -> ItemChanges:
    common_N = np.intersect1d(one.item_id, other.item_id, assume_unique=True)
    common = len(common_N)
    moved = common
    if one.level_sizes == other.level_sizes:
        same_N = (one.codes[one.rows_of(common_N)] == other.codes[other.rows_of(common_N)]).all(1)
        moved = common - int(same_N.sum())
    return ItemChanges(len(other) - common, len(one) - common, moved, common)


def _weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in sorted(one.keys() | other.keys()):
        before, after = one.get(name), other.get(name)
        if before is None or after is None or before.shape != after.shape:
            found[name] = float("inf")
            continue
        moved = float((after.double() - before.double()).norm())
        length = float(before.double().norm())
        if moved:
            found[name] = moved / length if length else float("inf")
    return found


def _pairs(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, tuple[float | None, float | None]]:
    names = sorted(one.keys() | other.keys())
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}
