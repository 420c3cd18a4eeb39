"""A bundle with other weights: all the rest of it, the catalogue above all, is taken over file by file; or all but the
fallback lists.

The trainers that learn from a stream use it; whatever a bundle holds beside the weights goes with it unread.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.errors import BadBundle
from contracts.manifest import MANIFEST_FILE, POPULAR_FILE, Manifest, PopularList
from model.bundle.read import WEIGHTS_FILE, read_bundle
from model.bundle.verify import read_manifest
from model.bundle.whole import sums_of, write_whole
from model.bundle.write import model_version_of, save_weights, write_json
from model.network.network import RankGRNetwork


@dataclass(frozen=True, slots=True)
class Renewal:
    """New weights, and what the manifest says of them; `data` joins what the old one told.

    newest_interaction_ms: Unix ms of the newest interaction that they have seen; None: not known.
    popular: fallback lists in place of the old ones; None: those stay.
    """

    network: RankGRNetwork
    created_at: datetime
    newest_interaction_ms: int | None
    data: Mapping[str, str | int | float]
    popular: PopularList | None = None


def renew_bundle(source: Path, renewal: Renewal, directory: Path, *, replace: bool = False) -> Manifest:
    """Write, read back, rename.  The old manifest's metrics, which are of other weights, go.

    Raises BadBundle where the source is damaged, the network is not of its configuration, or the target is in the way;
    OSError when the disk refuses.  Nothing half-written stays behind.
    """
    manifests: list[Manifest] = []

    def fill(staging: Path) -> None:
        before = read_manifest(source)
        replaced = {WEIGHTS_FILE} if renewal.popular is None else {WEIGHTS_FILE, POPULAR_FILE}
        for name in before.files:
            if name in replaced:
                continue
            target = (staging / name).resolve()
            if not target.is_relative_to(staging.resolve()):
                raise BadBundle(f"{source}: the manifest names a file outside the bundle: {name!r}")
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source / name, target)
            except FileNotFoundError:
                raise BadBundle(f"{source}: {name} is missing") from None
        save_weights(renewal.network, staging)
        if renewal.popular is not None:
            (staging / POPULAR_FILE).write_text(renewal.popular.model_dump_json())
        files = sums_of(staging)
        if changed := sorted(
            name for name in before.files if name not in replaced and files[name] != before.files[name]
        ):
            raise BadBundle(f"{source}: {changed[0]} is damaged")
        manifest = Manifest(
            model_version=model_version_of(files),
            catalog_version=before.catalog_version,
            created_at=renewal.created_at.isoformat(timespec="seconds"),
            data={**before.data, **renewal.data},
            metrics={},
            files=files,
            newest_interaction_ms=renewal.newest_interaction_ms,
        )
        write_json(staging / MANIFEST_FILE, manifest.model_dump(exclude_none=True))
        read_bundle(staging)
        manifests.append(manifest)

    write_whole(directory, fill, MANIFEST_FILE, replace=replace)
    return manifests[-1]
