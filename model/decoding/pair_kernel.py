"""The loops of pair scoring on a CPU in float32: candidates of a beam by IAP, then RSP fused with its cut.

`pairs_on_cpu` prepares the arrays and shares beams out to threads; `pairs_in_torch` says what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.decoding.compiled import compiled, exp32

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

# Shapes: B beams, V codes of the level, C codes with a row in the table, J own keys of a beam, R heads,
# F hidden units, W nodes of the level, Z dead ones, K room for a beam's candidates.


class Children(NamedTuple):
    """node [B] of the level above; its children are start[node] ..< start[node + 1] of code [W]; dead [Z] sorted."""

    node: Int64s
    start: Int64s
    code: Int32s
    dead: Int64s


class Found(NamedTuple):
    """Per beam its candidates: node, iap (log p), rsp (log s) [B, K] and number [B], -1 where scores are not finite."""

    number: Int64s
    node: Int64s
    iap: Float32s
    rsp: Float32s

    @classmethod
    def room_for(cls, beams: int, each: int) -> Found:
        """Empty."""
        shape = (beams, max(1, each))
        return cls(
            np.zeros(beams, np.int64),
            np.empty(shape, np.int64),
            np.empty(shape, np.float32),
            np.empty(shape, np.float32),
        )


class Tables(NamedTuple):
    """What no beam changes.  row [V]: a code's row in lse [C, R], hidden [C, R, F] and base [C or 1, F].

    weight [F], bias [1]: the MLP's last layer.
    """

    row: Int64s
    lse: Float32s
    hidden: Float32s
    base: Float32s
    weight: Float32s
    bias: Float32s


class OwnRows(NamedTuple):
    """score [B] of the beams so far; own keys' part: own_score [R, B, J, C], scaled; own_hidden [B, J, R, F]."""

    score: Float64s
    own_score: Float32s
    own_hidden: Float32s


class Cut(NamedTuple):
    """Only scores that, rounded to float32, are at least `least`; a score is log s + iap_mix * log p."""

    iap_mix: float
    least: np.float32


@compiled
def log_sum_exp(logits_V: Float32s) -> float:
    """log of the sum of e^logit."""
    top = logits_V[0]
    for v in range(len(logits_V)):
        top = logits_V[v] if logits_V[v] > top else top
    total = np.float32(0.0)
    for v in range(len(logits_V)):
        total += exp32(logits_V[v] - top)
    return float(top) + math.log(total)


@compiled
def first_at_least(sorted_Z: Int64s, value: int) -> int:
    """Position of the first entry that is not below value."""
    low, high = 0, len(sorted_Z)
    while low < high:
        middle = (low + high) // 2
        if sorted_Z[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def living_children(children: Children, beam: int, node_K: Int64s) -> int:
    """Write the living children's nodes, ascending; their number."""
    first, last = children.start[children.node[beam]], children.start[children.node[beam] + 1]
    dead = children.dead
    at = first_at_least(dead, first)
    count = 0
    for node in range(first, last):
        if at < len(dead) and dead[at] == node:
            at += 1
        else:
            node_K[count] = node
            count += 1
    return count


@compiled
def nth_greatest(value_K: Float32s, nth: int) -> float:
    """The value at place nth (0-based) in descending order; reorders value_K, which holds no NaN.

    Hoare's selection.  numpy's own partition takes numba seconds to compile.
    """
    low, high = 0, len(value_K) - 1
    while low < high:
        pivot = value_K[nth]
        i, j = low, high
        while i <= j:
            while value_K[i] > pivot:
                i += 1
            while value_K[j] < pivot:
                j -= 1
            if i <= j:
                value_K[i], value_K[j] = value_K[j], value_K[i]
                i += 1
                j -= 1
        if j < nth:
            low = i
        if nth < i:
            high = j
    return float(value_K[nth])


@compiled
def keep_best(node_K: Int64s, value_K: Float32s, most: int, scratch_K: Float32s) -> int:
    """Keep the `most` nodes of the greatest values in front, order kept; equals go to the lower node.  How many."""
    count = len(node_K)
    if count <= most:
        return count
    for k in range(count):
        scratch_K[k] = value_K[k]
    least = nth_greatest(scratch_K[:count], most - 1)
    room = most
    for k in range(count):
        room -= value_K[k] > least
    kept = 0
    for k in range(count):
        value = value_K[k]
        if value > least or (value == least and room > 0):
            room -= value == least
            node_K[kept] = node_K[k]
            value_K[kept] = value
            kept += 1
    return kept


@compiled
def find_candidates(rows: Int64s, children: Children, logits_BV: Float32s, most: int, found: Found) -> None:
    """Fill number, node and iap of these beams: the living children, the `most` best by logit.  Threads may share."""
    scratch_K = np.empty(found.node.shape[1], np.float32)
    for beam in rows:
        whole = log_sum_exp(logits_BV[beam])
        if not math.isfinite(whole):
            found.number[beam] = -1
            continue
        node_K, value_K = found.node[beam], found.iap[beam]
        count = living_children(children, beam, node_K)
        for k in range(count):
            value_K[k] = logits_BV[beam, children.code[node_K[k]]]
        count = keep_best(node_K[:count], value_K[:count], most, scratch_K)
        finite = True
        for k in range(count):
            value_K[k] -= whole
            finite &= math.isfinite(value_K[k])
        found.number[beam] = count if finite else -1


@compiled
def scores_of_keys(beam: int, at_K: Int64s, tables: Tables, own: OwnRows, share_RSK: Float32s) -> None:
    """Log weights of the common keys together (row 0) and of each own key (1..J), the greatest of them 0."""
    for r in range(share_RSK.shape[0]):
        share_SK = share_RSK[r]
        for k in range(len(at_K)):
            share_SK[0, k] = tables.lse[at_K[k], r]
            top = share_SK[0, k]
            for j in range(1, len(share_SK)):
                share_SK[j, k] = own.own_score[r, beam, j - 1, at_K[k]]
                top = max(top, share_SK[j, k])
            for j in range(len(share_SK)):
                share_SK[j, k] -= top


@compiled
def to_shares(share_RSK: Float32s, count: int) -> None:
    """Softmax over the keys (middle axis) of the first `count` candidates, in place."""
    for r in range(len(share_RSK)):
        share_SK = share_RSK[r]
        for j in range(len(share_SK)):
            for k in range(count):
                share_SK[j, k] = exp32(share_SK[j, k])
        for k in range(count):
            total = np.float32(0.0)
            for j in range(len(share_SK)):
                total += share_SK[j, k]
            for j in range(len(share_SK)):
                share_SK[j, k] /= total


@compiled
def rows_of_codes(node_K: Int64s, code_W: Int32s, row_V: Int64s, at_K: Int64s) -> None:
    """Write each node's row in the table."""
    for k in range(len(node_K)):
        at_K[k] = row_V[code_W[node_K[k]]]


@compiled
def keep_reaching(beam: int, logit_K: Float32s, own: OwnRows, cut: Cut, found: Found) -> None:
    """Turn a beam's logits into log s and keep the candidates that reach the cut, order kept."""
    kept = 0
    finite = True
    for k in range(len(logit_K)):
        logit = float(logit_K[k])
        finite &= math.isfinite(logit)
        iap = found.iap[beam, k]
        before = own.score[beam] + cut.iap_mix * iap
        # log s is at most the logit and at most 0: most pairs fall here, before the logarithm.
        if np.float32(before + min(logit, 0.0)) < cut.least:
            continue
        rsp = np.float32(min(logit, 0.0) - math.log1p(math.exp(-abs(logit))))
        if np.float32(before + rsp) >= cut.least:
            found.node[beam, kept] = found.node[beam, k]
            found.iap[beam, kept] = iap
            found.rsp[beam, kept] = rsp
            kept += 1
    found.number[beam] = kept if finite else -1


@cache
def rescore(heads: int, keys: int) -> Callable[[Int64s, Int32s, Tables, OwnRows, Cut, Found], None]:
    """A compiled function that scores the candidates of these beams by RSP and keeps what reaches the cut.

    Its arguments: beams, code [W], tables, own rows, cut, candidates.  heads and keys (J) are constants in it: only
    then are the short loops unrolled and the loop over hidden units vectorised.  Threads may share the candidates.
    """

    @compiled
    def score(rows: Int64s, code_W: Int32s, tables: Tables, own: OwnRows, cut: Cut, found: Found) -> None:
        room = found.node.shape[1]
        at_K, logit_K = np.empty(room, np.int64), np.empty(room, np.float32)
        share_RSK = np.empty((heads, keys + 1, room), np.float32)
        for beam in rows:
            count = found.number[beam]
            rows_of_codes(found.node[beam, :count], code_W, tables.row, at_K)
            scores_of_keys(beam, at_K[:count], tables, own, share_RSK)
            to_shares(share_RSK, count)
            for k in range(count):
                at = at_K[k]
                # Where the MLP does not see the query, the base is one row for all codes.
                base = min(at, len(tables.base) - 1)
                total = np.float32(0.0)
                for f in range(len(tables.weight)):
                    x = tables.base[base, f]
                    for r in range(heads):
                        x += share_RSK[r, 0, k] * tables.hidden[at, r, f]
                        for j in range(keys):
                            x += share_RSK[r, j + 1, k] * own.own_hidden[beam, j, r, f]
                    total += tables.weight[f] * (x / (np.float32(1.0) + exp32(-x)))
                logit_K[k] = total + tables.bias[0]
            keep_reaching(beam, logit_K[:count], own, cut, found)

    return score
