"""A bundle's manifest: what every reader of a bundle agrees on before it opens anything else."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_FILE = "manifest.json"
POPULAR_FILE = "popular.json"
TRAINING_FILE = "training.json"


class Manifest(BaseModel):
    """`manifest.json`: which versions these are, and the sha256 of every other file of the bundle.

    `newest_interaction_ms`: Unix ms of the newest interaction that the weights have seen, where that is known.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    format: Literal[1] = 1
    model_version: str = Field(min_length=1, max_length=64)
    catalog_version: str = Field(min_length=1, max_length=64)
    created_at: str
    data: dict[str, str | int | float]
    metrics: dict[str, float]
    files: dict[str, str]
    newest_interaction_ms: int | None = None


class PopularList(BaseModel):
    """`popular.json`: the fallback list of each scene, most popular first; `default` serves any other scene."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    default: tuple[int, ...]
    scenes: dict[str, tuple[int, ...]] = {}
