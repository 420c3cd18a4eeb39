"""Bundles of one small world for swaps: same catalogue or another, and load on an engine that notes every answer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from model.bundle.write import write_bundle
from model.semantic_id.catalog import Catalog

from ..model.bundle.contents import SIZES, contents

USERS_AT_ONCE = 4


@dataclass(frozen=True)
class Made:
    """A bundle's directory and its versions."""

    path: Path
    model_version: str
    catalog_version: str


def other_catalog() -> Catalog:
    """The items of `contents`, each with another id, and one more item."""
    codes = [[3, 3], [3, 1], [2, 4], [2, 0], [1, 2], [1, 1], [0, 5], [0, 0], [2, 2]]
    items = np.array([3, 7, 12, 20, 21, 55, 901, 2**40, 2**40 + 1])
    return Catalog(items, np.array(codes, np.int32), np.ones(9, np.float32), SIZES)


def make(place: Path, seed: int, *, catalog: Catalog | None = None, newest_ms: int | None = None) -> Made:
    """A bundle of this seed's weights."""
    made = dataclasses.replace(contents(seed), newest_interaction_ms=newest_ms)
    if catalog is not None:
        made = dataclasses.replace(made, catalog=catalog)
    manifest = write_bundle(made, place)
    return Made(place, manifest.model_version, manifest.catalog_version)


@dataclass
class Noted:
    """Answers of an engine in order: when (monotonic s), status, versions, and the list."""

    at_s: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    lists: list[tuple[tuple[int, float, tuple[int, ...]], ...]] = field(default_factory=list)

    def model_versions(self) -> list[str]:
        """In order, each once per stretch."""
        found: list[str] = []
        for model, _ in self.versions:
            if not found or found[-1] != model:
                found.append(model)
        return found

    @property
    def longest_pause_s(self) -> float:
        """The longest time between two answers."""
        return max(after - before for before, after in zip(self.at_s, self.at_s[1:], strict=False))


@asynccontextmanager
async def load_on(url: str, tokens: tuple[int, ...], noted: Noted) -> AsyncIterator[None]:
    """Callers that each ask the same prompt again and again inside the block; then what is under way is waited for."""
    stop = asyncio.Event()

    async def caller(client: httpx.AsyncClient, user: int) -> None:
        while not stop.is_set():
            body = {"user_id": f"u{user}", "tokens": list(tokens), "level_scores": False}
            answer = await client.post(f"{url}/recommend", json=body)
            noted.at_s.append(time.monotonic())
            noted.statuses.append(answer.status_code)
            if answer.status_code == 200:
                found = answer.json()
                noted.versions.append((found["model_version"], found["catalog_version"]))
                noted.lists.append(tuple((one["item_id"], one["score"], tuple(one["sid"])) for one in found["items"]))

    async with httpx.AsyncClient(timeout=30.0) as client:
        callers = [asyncio.ensure_future(caller(client, user)) for user in range(USERS_AT_ONCE)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*callers)
