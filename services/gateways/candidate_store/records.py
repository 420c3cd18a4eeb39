"""Items as they lie in a packed list: read only as far as somebody needs them.

A page of a list goes from the store to the wire in this form; what looks inside takes ids alone where ids are enough.
Structs instead of dataclasses, here and wherever one is made for every request: a frozen dataclass takes ten times as
long to make.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec

from contracts.candidate_set import Candidate
from contracts.ids import ItemId


class Records(msgspec.Struct, frozen=True, gc=False):
    """Whole records, little endian: item_id int64, score float32, `levels` codes of `code_size` (2 or 4) bytes."""

    data: bytes
    levels: int
    code_size: int

    @property
    def size(self) -> int:
        """Bytes per record."""
        return 12 + self.levels * self.code_size

    def __len__(self) -> int:
        return len(self.data) // self.size

    def item_ids(self) -> tuple[ItemId, ...]:
        """Which items, in their order."""
        return _ids_of(len(self), self.size).unpack(self.data)

    def flat(self) -> tuple[Any, ...]:
        """item_id, score, c1, ..., cm of all records one after another: ints and floats."""
        return _flat_of(len(self), self.levels, self.code_size).unpack(self.data)

    def candidates(self) -> tuple[Candidate, ...]:
        """The items."""
        rows = record_of(self.levels, self.code_size).iter_unpack(self.data)
        return tuple(Candidate(ItemId(item_id), score, tuple(codes)) for item_id, score, *codes in rows)

    def first(self, count: int) -> Records:
        """The first so many of them."""
        return Records(self.data[: count * self.size], self.levels, self.code_size)

    def at(self, places: Collection[int]) -> Records:
        """Those at these places."""
        size, data = self.size, self.data
        chosen = b"".join([data[place * size : (place + 1) * size] for place in places])
        return Records(chosen, self.levels, self.code_size)


def record_of(levels: int, code_size: int) -> Struct:
    """One record."""
    return Struct("<" + _fields(levels, code_size))


def _fields(levels: int, code_size: int) -> str:
    return f"qf{levels}{'H' if code_size == 2 else 'I'}"


@lru_cache(maxsize=256)
def _ids_of(count: int, size: int) -> Struct:
    return Struct("<" + f"q{size - 8}x" * count)


@lru_cache(maxsize=256)
def _flat_of(count: int, levels: int, code_size: int) -> Struct:
    return Struct("<" + _fields(levels, code_size) * count)
