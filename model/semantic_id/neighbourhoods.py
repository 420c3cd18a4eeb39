"""What stands around an item, by title, in the eyes of its codes: for people who judge ids by looking at them."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from model.semantic_id.catalog import Catalog
from model.semantic_id.hit_rate import nearest_by_cosine
from model.semantic_id.quantiser import Float32s
from model.semantic_id.unit_rows import unit_rows

EXAMPLES, NEIGHBOURS = 10, 5


class Neighbour(TypedDict):
    """One item; `shared` is how many codes it has in common with the item in the middle, from the first on."""

    item_id: int
    sid: list[int]
    title: str
    shared: int


class Neighbourhood(TypedDict):
    """An item and those whose codes say the most similar things."""

    item_id: int
    sid: list[int]
    title: str
    neighbours: list[Neighbour]


def example_neighbourhoods(catalog: Catalog, decoded_ND: Float32s, seed: int = 0) -> list[Neighbourhood]:
    """Ten items drawn by seed, those with a title first, each with its five nearest by the cosine of decoded codes."""
    chance_N = np.random.default_rng(seed).permutation(len(catalog))
    titled_N = np.asarray([bool(title) for title in catalog.title or ("",) * len(catalog)], np.bool_)
    # Stable: chance decides within the titled ones and within the rest.
    picked = chance_N[np.argsort(~titled_N[chance_N], kind="stable")][:EXAMPLES]
    near = nearest_by_cosine(unit_rows(decoded_ND), picked, NEIGHBOURS)
    return [_around(catalog, int(row), near_K.tolist()) for row, near_K in zip(picked, near, strict=True)]


def _around(catalog: Catalog, row: int, near: list[int]) -> Neighbourhood:
    neighbours = [
        Neighbour(
            item_id=int(catalog.item_id[other]),
            sid=catalog.codes[other].tolist(),
            title=_title(catalog, other),
            shared=_shared(catalog.codes[row].tolist(), catalog.codes[other].tolist()),
        )
        for other in near
    ]
    return Neighbourhood(
        item_id=int(catalog.item_id[row]), sid=catalog.codes[row].tolist(), title=_title(catalog, row),
        neighbours=neighbours,
    )  # fmt: skip


def _title(catalog: Catalog, row: int) -> str:
    return catalog.title[row] if catalog.title else ""


def _shared(one: list[int], other: list[int]) -> int:
    same = [left == right for left, right in zip(one, other, strict=True)]
    return same.index(False) if False in same else len(same)
