"""A bundle whose catalogue items joined or left: the same weights, a new catalogue version, one directory again.

Called by whoever publishes such a bundle.  The one it comes from is never changed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from contracts.errors import BadBundle, NothingToRecommend
from contracts.manifest import MANIFEST_FILE, POPULAR_FILE, Manifest, PopularList
from model.bundle.new_items import read_new_item_encoder
from model.bundle.prompt_side import CATALOG_FILE, CONFIG_FILE, PromptSide, read_prompt_side
from model.bundle.verify import first_complaint, read_json, sha256_of
from model.bundle.whole import write_whole
from model.data.new_items import BadRow, NewItem
from model.network.config import RankGRConfig
from model.semantic_id.catalog import Catalog
from model.semantic_id.change_catalog import ChangedCatalog, with_items, without_items
from model.semantic_id.sentence_encoder import SentenceEncoder

ChangeCatalog = Callable[[Path, PromptSide], ChangedCatalog]
"""What becomes of the catalogue of the bundle in this directory, which is read and verified."""


@dataclass(frozen=True, slots=True)
class AddItems:
    """These items join; `bad` rows are refused with those that the catalogue does not take.

    `encoder`: the sentence encoder that the bundle's features came from, where they did.
    """

    items: Sequence[NewItem]
    bad: Sequence[BadRow] = ()
    encoder: SentenceEncoder | None = None

    def __call__(self, directory: Path, side: PromptSide) -> ChangedCatalog:
        """Raises BadBundle for a bundle that takes no new items, BadDataSet as `with_items` does."""
        encoder = read_new_item_encoder(directory, self.encoder)
        if tuple(map(len, encoder.quantiser.codebooks)) != side.catalog.level_sizes:
            raise BadBundle(f"{directory}: the quantiser has other levels than the catalogue")
        changed = with_items(side.catalog, encoder, self.items, cap_of(directory))
        return dataclasses.replace(changed, refused=(*self.bad, *changed.refused))


@dataclass(frozen=True, slots=True)
class RetireItems:
    """These items leave; `bad` rows are refused with those that are not there."""

    items: Sequence[int]
    bad: Sequence[BadRow] = ()

    def __call__(self, _directory: Path, side: PromptSide) -> ChangedCatalog:
        """Raises NothingToRecommend where nobody would stay."""
        changed = without_items(side.catalog, self.items)
        if not len(changed.catalog):
            raise NothingToRecommend("the catalogue would have no item left")
        return dataclasses.replace(changed, refused=(*self.bad, *changed.refused))


def cap_of(directory: Path) -> int:
    """How many items may share a semantic id: of more than that a list would never show the rest.  Raises BadBundle."""
    return RankGRConfig.from_json(read_json(directory, CONFIG_FILE)).decode.max_items_per_sid


def changed_catalog(directory: Path, change: ChangeCatalog) -> ChangedCatalog:
    """What a change would make of a bundle's catalogue, unwritten.  Raises BadBundle, and what `change` does."""
    return change(directory, read_prompt_side(directory))


def write_with_catalog(directory: Path, catalog: Catalog, out: Path, created_at: datetime) -> Manifest:
    """Write a bundle's files to `out` with this catalogue, read back, rename.

    Popular lists lose what the catalogue does not have; one that is empty then goes (its scene gets `default`), and an
    empty `default` becomes the catalogue's most popular items.  Weights, and with them the model version, stay.
    Raises BadBundle where the directory or what was written is no good, or the target is in the way; OSError when the
    disk refuses.
    """
    before = read_prompt_side(directory).manifest
    if POPULAR_FILE not in before.files:
        raise BadBundle(f"{directory}: the manifest lists no {POPULAR_FILE}")
    try:
        popular = PopularList.model_validate(read_json(directory, POPULAR_FILE))
    except ValidationError as error:
        raise BadBundle(f"{directory}: {POPULAR_FILE}: {first_complaint(error)}") from error
    manifests: list[Manifest] = []

    def fill(staging: Path) -> None:
        for name in before.files:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / name, staging / name)
        catalog.write(staging / CATALOG_FILE)
        (staging / POPULAR_FILE).write_text(_known(popular, catalog).model_dump_json())
        sums = {name: sha256_of(staging / name) for name in (CATALOG_FILE, POPULAR_FILE)}
        manifest = before.model_copy(
            update={
                "catalog_version": catalog.version,
                "created_at": created_at.isoformat(timespec="seconds"),
                "files": before.files | sums,
            }
        )
        content = json.dumps(manifest.model_dump(exclude_none=True), indent=2, ensure_ascii=False)
        (staging / MANIFEST_FILE).write_text(content + "\n")
        read_prompt_side(staging)
        manifests.append(manifest)

    write_whole(out, fill, MANIFEST_FILE)
    return manifests[-1]


def _known(popular: PopularList, catalog: Catalog) -> PopularList:
    every = [popular.default, *popular.scenes.values()]
    asked = np.unique(np.asarray([item for items in every for item in items], np.int64))
    known = frozenset(asked[catalog.rows_of(asked) >= 0].tolist())
    default = _left(popular.default, known)
    if popular.default and not default:
        order_N = np.lexsort((catalog.item_id, -catalog.popularity))[: len(popular.default)]
        default = tuple(catalog.item_id[order_N].tolist())
    scenes = {name: _left(items, known) for name, items in popular.scenes.items()}
    return PopularList(default=default, scenes={name: items for name, items in scenes.items() if items})


def _left(items: Sequence[int], known: Collection[int]) -> tuple[int, ...]:
    return tuple(item for item in items if item in known)
