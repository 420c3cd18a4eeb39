"""What is known of each item, whoever did what with it.

Made by the reader and the marketplace; semantic ids take `text`, people read `title`.  Holds no counts.
"""

# Shapes: N items.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.data.arrays import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """N items, by rising id."""

    item_id: Int64
    """[N] sorted, no id twice."""
    title: tuple[str, ...]
    """[N] what a person reads; '' where there is none."""
    text: tuple[str, ...]
    """[N] what a text feature extractor reads (title, category path, brand); '' where there is none."""
    brand: tuple[str, ...] = ()
    """[N], '' where an item has none; or empty where no item has one."""
    categories: tuple[str, ...] = ()
    """[N] paths such as `Kitchen > Bakeware`, '' where an item has none; or empty where no item has one."""
    price: Float64 | None = None
    """[N] in the currency of the source, NaN where unknown; None where no item has one."""

    def __post_init__(self) -> None:
        count = len(self.item_id)
        if np.any(np.diff(self.item_id) <= 0):
            raise ValueError("item ids must rise")
        if len(self.title) != count or len(self.text) != count:
            raise ValueError("every item needs a title and a text, empty ones included")
        if len(self.brand) not in (0, count) or len(self.categories) not in (0, count):
            raise ValueError("brands and categories are given for all items or for none")
        if self.price is not None and len(self.price) != count:
            raise ValueError("prices are given for all items or for none")
