"""What a bundle was made from: kept in its manifest, so that an equal build need not be repeated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from contracts.manifest import Manifest
from model.build.recipe import Recipe
from model.bundle.verify import sha256_of
from model.data.data_set import DataSet
from model.data.read_interactions import INTERACTIONS_FILE, TRACE_FILE

FINGERPRINT_DIGITS = 12
DIGEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """Data, by name and fingerprint, and how it was built.

    `preset` names the recipe, `recipe` is its digest; `release` is the version of this package; `init` names the
    language model, `sids` the catalogue version of ready-made semantic ids, where a training began with them.
    """

    name: str
    users: int
    interactions: int
    sha256: str
    preset: str
    recipe: str
    seed: int
    release: str
    init: str = ""
    sids: str = ""

    @classmethod
    def of(cls, data: DataSet, *, preset: str, recipe: Recipe, seed: int, release: str, init: str = "") -> Source:
        """The source that a build of this data would have."""
        return cls(
            name=data.name,
            users=len(data.log.users),
            interactions=len(data.log.item),
            sha256=fingerprint(data),
            preset=preset,
            recipe=recipe.digest,
            seed=seed,
            release=release,
            init=init,
        )

    def as_json(self) -> dict[str, str | int | float]:
        """As the manifest keeps it."""
        return dict(asdict(self))

    @property
    def digest(self) -> str:
        """Sixteen hex digits over all of it: which run a checkpoint belongs to."""
        said = json.dumps(self.as_json(), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:DIGEST_DIGITS]

    def made(self, manifest: Manifest) -> bool:
        """Whether the bundle with this manifest came from just this."""
        return manifest.data == self.as_json()


def file_fingerprint(directory: Path) -> str:
    """Digits over the files of a data set that is not read whole; another spelling of equal data has others."""
    digest = hashlib.sha256()
    for name in (INTERACTIONS_FILE, TRACE_FILE):
        if (directory / name).is_file():
            digest.update(sha256_of(directory / name).encode())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def fingerprint(data: DataSet) -> str:
    """Digits over all that a build reads: what users did, where and when, and what the items say."""
    digest = hashlib.sha256()
    log, items = data.log, data.items
    done = (log.user, log.item, log.behavior, log.level, log.timestamp, log.session, log.split)
    for array in (*done, log.scene, log.device, items.item_id):
        digest.update(np.ascontiguousarray(array).tobytes())
    for names in (log.behaviors, log.scenes, log.devices, items.title, items.text):
        # Lengths first: a name's end is then no matter of which characters it holds.
        digest.update(np.array([len(name) for name in names], dtype="<i8").tobytes())
        digest.update("".join(names).encode())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]
