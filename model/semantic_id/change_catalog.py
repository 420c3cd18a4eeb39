"""A catalogue that items join and leave: who is there keeps the codes that the model was trained on.

Called when a bundle's catalogue is changed.  Never sees weights, and moves nobody to make room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from model.data.new_items import BadRow, NewItem
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.collisions import first_of_each_id, settle_collisions
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.price_facet import priced, split_prices

# Shapes: N items of a catalogue, K items that join it, M levels.


@dataclass(frozen=True, slots=True, eq=False)
class ChangedCatalog:
    """`changed`: ids of the items that came or went, rising, Int64[K].  `refused`: those that could not, and why."""

    catalog: Catalog
    changed: Int64s
    refused: tuple[BadRow, ...]


def with_items(catalog: Catalog, encoder: NewItemEncoder, items: Sequence[NewItem], cap: int) -> ChangedCatalog:
    """The catalogue and these items, each id once among them, with popularity 0.

    Codes are those of the frozen quantiser; where an id holds `cap` items already the rule of `settle_collisions`
    finds another one, for the new items alone.  Refused are ids that are there already, items of which the features
    know nothing, and those for which there is no room: the last ones by id.
    Raises BadDataSet where the catalogue's items had no texts, or came from a sentence encoder that is not here.
    """
    refused: list[BadRow] = []
    unknown = [item for item in sorted(items, key=lambda item: item.item_id) if not _is_there(catalog, item, refused)]
    features_KD = encoder.features.of_new_items([_text_of(item) for item in unknown])
    taken = len(first_of_each_id(catalog.codes, cap))
    room = max(prod(catalog.level_sizes) * cap - taken, 0)
    kept: list[int] = []
    for row, item in enumerate(unknown):
        if not features_KD[row].any():
            refused.append(BadRow(item.where, f"item_id {item.item_id}: no word, category or price that features know"))
        elif len(kept) == room:
            refused.append(BadRow(item.where, f"item_id {item.item_id}: no room, every semantic id has {cap} item(s)"))
        else:
            kept.append(row)
    features_KD = features_KD[kept]
    codes_KM = settle_collisions(
        encoder.quantiser.encode(features_KD),
        encoder.quantiser.latent(features_KD),
        encoder.quantiser.codebooks,
        np.zeros(len(kept), np.float32),
        cap,
        catalog.codes,
    )
    added_K = np.asarray([unknown[row].item_id for row in kept], np.int64)
    titles = tuple(unknown[row].title or unknown[row].text for row in kept)
    joined = _joined(catalog, Catalog(added_K, codes_KM, np.zeros(len(kept), np.float32), catalog.level_sizes, titles))
    return ChangedCatalog(joined, added_K, tuple(refused))


def without_items(catalog: Catalog, items: npt.ArrayLike) -> ChangedCatalog:
    """The catalogue without these items; an id that stood for nobody else leaves the trie.  Refused are unknown ids."""
    asked_K = np.unique(np.asarray(items, np.int64).reshape(-1))
    row_K = catalog.rows_of(asked_K)
    stays_N = np.ones(len(catalog), np.bool_)
    stays_N[row_K[row_K >= 0]] = False
    left = Catalog(
        item_id=catalog.item_id[stays_N],
        codes=catalog.codes[stays_N],
        popularity=catalog.popularity[stays_N],
        level_sizes=catalog.level_sizes,
        title=None if catalog.title is None else tuple(catalog.title[row] for row in np.flatnonzero(stays_N)),
    )
    refused = tuple(BadRow(f"item_id {item}", "is not in the catalogue") for item in asked_K[row_K < 0].tolist())
    return ChangedCatalog(left, asked_K[row_K >= 0], refused)


def _is_there(catalog: Catalog, item: NewItem, refused: list[BadRow]) -> bool:
    there = bool(catalog.rows_of([item.item_id])[0] >= 0)
    if there:
        refused.append(BadRow(item.where, f"item_id {item.item_id} is in the catalogue already"))
    return there


def _text_of(item: NewItem) -> str:
    """Its text, in which a price of its own takes the place of any that the text tells: as `rankgr build` has it."""
    if item.price is None:
        return item.text
    [text], _ = split_prices([item.text])
    return priced(text, item.price)


def _joined(one: Catalog, other: Catalog) -> Catalog:
    """Both in one, by rising id; they have no item in common."""
    order_N = np.argsort(np.concatenate([one.item_id, other.item_id]), kind="stable")
    title: tuple[str, ...] | None = None
    if one.title is not None:
        titles = (*one.title, *(other.title or ("",) * len(other)))
        title = tuple(titles[row] for row in order_N.tolist())
    return Catalog(
        item_id=np.concatenate([one.item_id, other.item_id])[order_N],
        codes=np.concatenate([one.codes, other.codes])[order_N],
        popularity=np.concatenate([one.popularity, other.popularity])[order_N],
        level_sizes=one.level_sizes,
        title=title,
    )
