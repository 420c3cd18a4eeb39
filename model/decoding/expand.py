"""From semantic ids to items: what is left of each SID, capped, in order, cut.

The last stage of the batched decoder; plain arrays, no scores are made here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.decoding.request import DecodeResult, ScoredSids
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.trie import Trie

# Shapes: S SIDs of the final beam, P items of all of them.


@dataclass(frozen=True, slots=True)
class ListRules:
    """How many items a SID may bring, and how many the list may hold (None: all)."""

    max_items_per_sid: int
    max_items: int | None


def expand(sids: ScoredSids, left_out: Int64s, catalog: Catalog, trie: Trie, rules: ListRules) -> DecodeResult:
    """Items of the SIDs in their order, most popular first inside one; rows `left_out` do not count."""
    start_S = trie.item_start[sids.sid]
    count_S = trie.item_start[sids.sid + 1] - start_S
    owner_P = np.repeat(np.arange(len(sids.sid), dtype=np.int64), count_S)
    row_P = trie.item_rows[np.arange(len(owner_P)) + np.repeat(start_S - _offsets(count_S), count_S)]
    if len(left_out):
        kept_P = ~np.isin(row_P, left_out)
        owner_P, row_P = owner_P[kept_P], row_P[kept_P]
    place_P = np.arange(len(owner_P)) - _offsets(np.bincount(owner_P, minlength=len(sids.sid)))[owner_P]
    within_P = place_P < rules.max_items_per_sid
    owner_P, row_P = owner_P[within_P][: rules.max_items], row_P[within_P][: rules.max_items]
    return DecodeResult(
        item_id=catalog.item_id[row_P],
        score=sids.score[owner_P].astype(np.float32),
        codes=catalog.codes[row_P],
        iap_logprob=sids.iap_logprob[owner_P].astype(np.float32),
        rsp_logscore=sids.rsp_logscore[owner_P].astype(np.float32),
    )


def _offsets(counts: Int64s) -> Int64s:
    """Where each run begins when runs of these lengths stand side by side."""
    offsets: Int64s = np.cumsum(counts) - counts
    return offsets
