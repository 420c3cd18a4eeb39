"""The trie of semantic ids: which codes may follow a prefix, and which items an id stands for.

Decoding walks it, prompt and evaluation count with it; it holds plain arrays and never a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.semantic_id.catalog import Catalog, Int32s, Int64s

Bools = npt.NDArray[np.bool_]

# Shapes: N items, M levels, S distinct semantic ids, W_l nodes (distinct prefixes) of level l; W_M = S.


@dataclass(frozen=True, slots=True, eq=False)
class Removed:
    """What is left out of one request: item rows, and per level the nodes that thereby lead to no item.

    rows int64, dead[l] int64: sorted and distinct; dead[l] indexes the nodes of level l + 1.
    """

    rows: Int64s
    dead: tuple[Int64s, ...]

    @property
    def nothing(self) -> bool:
        """Whether every item is still there."""
        return not len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Trie:
    """Nodes of each level in lexicographic order: node order is SID order, and children are neighbours.

    code[l] int32 [W_{l+1}]: last code of a node of level l + 1.
    parent[l] int64 [W_{l+1}]: that node's parent, a node of level l (W_0 = 1, the root).
    child_start[l] int64 [W_l + 1]: node p's children are child_start[l][p] ..< child_start[l][p + 1].
    sids int32 [S, M]; item_start int64 [S + 1], item_rows int64 [N]: the items of SID s are
    item_rows[item_start[s] ..< item_start[s + 1]], most popular first, then lower row (= lower item id).
    sid_of_row int64 [N].
    """

    level_sizes: tuple[int, ...]
    code: tuple[Int32s, ...]
    parent: tuple[Int64s, ...]
    child_start: tuple[Int64s, ...]
    sids: Int32s
    item_start: Int64s
    item_rows: Int64s
    sid_of_row: Int64s

    @classmethod
    def of(cls, codes: Int32s, level_sizes: Sequence[int], popularity: npt.ArrayLike | None = None) -> Trie:
        """Trie over item codes [N, M], duplicates allowed; without popularity all items count alike."""
        codes_NM = np.ascontiguousarray(codes, dtype=np.int32).reshape(-1, len(level_sizes))
        items = len(codes_NM)
        weight_N = np.zeros(items) if popularity is None else np.asarray(popularity, dtype=np.float64)
        row_N = np.arange(items, dtype=np.int64)
        # lexsort's last key is the first to sort by: codes coarse to fine, then popularity down, then row up.
        order_N = np.lexsort((row_N, -weight_N, *codes_NM.T[::-1])).astype(np.int64)
        sorted_NM = codes_NM[order_N]
        # fresh[n, l]: item n, in SID order, opens a new prefix of length l + 1.
        fresh_NM = np.ones((items, len(level_sizes)), dtype=np.bool_)
        if items:
            changed_NM = sorted_NM[1:] != sorted_NM[:-1]
            fresh_NM[1:] = np.logical_or.accumulate(changed_NM, axis=1)
        code, parent, child_start = _nodes(sorted_NM, fresh_NM)
        sid_N = np.cumsum(fresh_NM[:, -1], dtype=np.int64) - 1
        sid_of_row_N = np.empty(items, dtype=np.int64)
        sid_of_row_N[order_N] = sid_N
        return cls(
            level_sizes=tuple(level_sizes),
            code=code,
            parent=parent,
            child_start=child_start,
            sids=sorted_NM[fresh_NM[:, -1]],
            item_start=np.append(np.flatnonzero(fresh_NM[:, -1]), items).astype(np.int64),
            item_rows=order_N,
            sid_of_row=sid_of_row_N,
        )

    @classmethod
    def of_catalog(cls, catalog: Catalog) -> Trie:
        """The trie of a catalogue; its item rows are the catalogue's rows."""
        return cls.of(catalog.codes, catalog.level_sizes, catalog.popularity)

    @property
    def levels(self) -> int:
        """M."""
        return len(self.level_sizes)

    @property
    def first_codes(self) -> Bools:
        """Bitmap bool [V_1] of the codes that may open a semantic id."""
        bitmap = np.zeros(self.level_sizes[0], dtype=np.bool_)
        bitmap[self.code[0]] = True
        return bitmap

    def children(self, level: int, node: int) -> Int32s:
        """Codes that may follow a node of `level` (0 = root), ascending."""
        start = self.child_start[level]
        return self.code[level][start[node] : start[node + 1]]

    def without(self, rows: npt.ArrayLike) -> Removed:
        """What dies when these item rows (any order, repeats allowed) are left out.

        A SID without items is dead, and so is a prefix without a living SID.  The cost grows with the rows
        left out, not with the trie.
        """
        gone = np.unique(np.asarray(rows, dtype=np.int64).reshape(-1))
        if len(gone) and (gone[0] < 0 or gone[-1] >= len(self.item_rows)):
            raise ValueError(f"item rows must lie in 0..{len(self.item_rows) - 1}")
        dead = _emptied(self.sid_of_row[gone], self.item_start)
        dead_M = [dead]
        for level in range(self.levels - 1, 0, -1):
            dead = _emptied(self.parent[level][dead], self.child_start[level])
            dead_M.append(dead)
        return Removed(rows=gone, dead=tuple(reversed(dead_M)))

    def without_also(self, removed: Removed, rows: npt.ArrayLike) -> Removed:
        """`removed`, and these item rows (any order, repeats allowed) as well: equal to `without` of both.

        The cost grows with the rows that come in addition.
        """
        more = np.unique(np.asarray(rows, dtype=np.int64).reshape(-1))
        if len(more) and (more[0] < 0 or more[-1] >= len(self.item_rows)):
            raise ValueError(f"item rows must lie in 0..{len(self.item_rows) - 1}")
        more = more[~_is_in(more, removed.rows)]
        gone = _merged(removed.rows, more)
        # Whatever else a touched SID stands for must be gone too, for the SID to die now.
        touched = np.unique(self.sid_of_row[more])
        count = self.item_start[touched + 1] - self.item_start[touched]
        at = np.arange(count.sum()) + np.repeat(self.item_start[touched] - np.cumsum(count) + count, count)
        owner = np.repeat(np.arange(len(touched)), count)
        left = np.bincount(owner[~_is_in(self.item_rows[at], gone)], minlength=len(touched))
        fresh = touched[left == 0]
        dead_M = [_merged(removed.dead[-1], fresh)]
        for level in range(self.levels - 1, 0, -1):
            touched = np.unique(self.parent[level][fresh])
            first, end = self.child_start[level][touched], self.child_start[level][touched + 1]
            gone_children = np.searchsorted(dead_M[-1], end) - np.searchsorted(dead_M[-1], first)
            fresh = touched[gone_children == end - first]
            dead_M.append(_merged(removed.dead[level - 1], fresh))
        return Removed(rows=gone, dead=tuple(reversed(dead_M)))

    def living(self, level: int, removed: Removed) -> Bools:
        """bool [W_level] for level 1..M: which nodes still lead to an item."""
        alive = np.ones(len(self.code[level - 1]), dtype=np.bool_)
        alive[removed.dead[level - 1]] = False
        return alive


def _emptied(owner_of_lost: Int64s, start: Int64s) -> Int64s:
    """Owners all of whose members are lost, sorted; `start` bounds the members of each owner."""
    owner, lost = np.unique(owner_of_lost, return_counts=True)
    emptied: Int64s = owner[lost == start[owner + 1] - start[owner]]
    return emptied


def _is_in(values: Int64s, members: Int64s) -> Bools:
    """Which values are among the members, which are sorted."""
    if not len(members):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(members, values), len(members) - 1)
    found: Bools = members[at] == values
    return found


def _merged(one: Int64s, other: Int64s) -> Int64s:
    """Both, sorted; each is sorted, and they have nothing in common."""
    merged: Int64s = np.insert(one, np.searchsorted(one, other), other)
    return merged


def _nodes(sorted_NM: Int32s, fresh_NM: Bools) -> tuple[tuple[Int32s, ...], tuple[Int64s, ...], tuple[Int64s, ...]]:
    """code, parent and child_start of every level, from items in SID order and where prefixes change."""
    code: list[Int32s] = []
    parent: list[Int64s] = []
    child_start: list[Int64s] = []
    above_N = np.zeros(len(sorted_NM), dtype=np.int64)
    nodes_above = 1
    for level in range(sorted_NM.shape[1]):
        fresh_N = fresh_NM[:, level]
        parent_W = above_N[fresh_N]
        code.append(sorted_NM[fresh_N, level])
        parent.append(parent_W)
        child_start.append(np.searchsorted(parent_W, np.arange(nodes_above + 1)).astype(np.int64))
        above_N = np.cumsum(fresh_N, dtype=np.int64) - 1
        nodes_above = len(parent_W)
    return tuple(code), tuple(parent), tuple(child_start)
