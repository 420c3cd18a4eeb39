"""Scoring pairs on a CPU in float32, in compiled loops: beams of all users shared out to torch's number of threads.

Same answers as `pairs_in_torch` up to rounding.  The first level, which has no own keys, and float64 stay there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from contracts.errors import EngineFailed
from model.decoding.beams import Beams
from model.decoding.blocks import Blocks
from model.decoding.decodable import Decodable
from model.decoding.merge_own_keys import MergeInTorch
from model.decoding.pair_kernel import (
    Children,
    Cut,
    Float32s,
    Found,
    Int64s,
    OwnRows,
    Tables,
    find_candidates,
    rescore,
)
from model.decoding.pairs import Part, ScoredPairs
from model.decoding.pairs_in_torch import PairsInTorch
from model.decoding.trie_on_device import TrieLevel
from model.network.rank_head import Keys

# Shapes: B beams, C codes with a row in the table, V codes of the level, J own keys of a beam, R heads,
# F hidden units, K room for a beam's candidates, P pairs.

# Beams a thread takes at a time: enough to amortise the call, few enough that threads end together.
BEAMS_A_TURN = 8


class PairsOnCpu:
    """Knows the network and the trie; keeps nothing of a request.  See `PairScorer`."""

    def __init__(self, network: Decodable, trie: tuple[TrieLevel, ...], blocks: Blocks) -> None:
        self._network = network
        self._trie = trie
        self._in_torch = PairsInTorch(network, trie, blocks, MergeInTorch(network.rank_head, blocks))
        # Of its own, for torch's threads sleep while these work.  The caller's thread waits for them.
        self._pool = ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads()), thread_name_prefix="pairs")

    def __call__(self, level: int, parts: Sequence[Part]) -> list[ScoredPairs | EngineFailed]:
        """See `PairScorer`."""
        if level == 1:
            return self._in_torch(level, parts)
        found = [self._candidates(level, part) for part in parts]
        self._run(call for work, _ in found for call in work)
        candidates = [mine for _, mine in found]
        for part, mine in zip(parts, candidates, strict=True):
            if part.plan.lambda_scope == "request":
                _cut_over_all(mine, part.beams, part.plan.lambdas[level - 1])
        self._run(
            call
            for part, mine in zip(parts, candidates, strict=True)
            if mine.number.min() >= 0
            for call in self._rescoring(level, part, mine)
        )
        return [self._scored(level, part, mine) for part, mine in zip(parts, candidates, strict=True)]

    def _candidates(self, level: int, part: Part) -> tuple[Iterator[Callable[[], None]], Found]:
        """The calls that find a part's candidates, and where they write them."""
        nodes, plan = self._trie[level - 1], part.plan
        children = Children(part.beams.node.numpy(), nodes.start.numpy(), nodes.code.numpy(), part.dead)
        logits_BV = _floats(functional.linear(part.state, self._network.code_embeddings(level)))
        most = plan.lambdas[level - 1] if plan.lambda_scope == "prefix" else nodes.most
        found = Found.room_for(len(part.beams), nodes.most)
        calls = (partial(find_candidates, rows, children, logits_BV, most, found) for rows in _turns(len(part.beams)))
        return calls, found

    def _rescoring(self, level: int, part: Part, found: Found) -> Iterator[Callable[[], None]]:
        """The calls that score a part's candidates by RSP, in place."""
        head, own = self._network.rank_head, part.beams.own
        if own is None:
            raise ValueError("behind the first level every beam has own keys")
        code_W = self._trie[level - 1].code.numpy()
        used_V = torch.zeros(self._network.config.levels[level - 1].size, dtype=torch.bool)
        within = np.arange(found.node.shape[1]) < found.number[:, None]
        used_V[torch.from_numpy(code_W[found.node[within]]).long()] = True
        rows = part.table.rows_for(used_V)
        tables = Tables(
            rows.row.numpy(),
            _floats(rows.part.lse),
            _floats(rows.part.hidden),
            _floats(rows.part.base),
            _floats(head.fc2.weight[0]),
            _floats(head.fc2.bias),
        )
        mine = OwnRows(
            part.beams.score.numpy(), _own_scores(rows.query * head.scale, own), _floats(head.hidden_of(own.value))
        )
        score = rescore(head.heads, own.key.shape[1])
        cut = Cut(part.plan.iap_mix, np.float32(part.least))
        return (partial(score, beams, code_W, tables, mine, cut, found) for beams in _turns(len(part.beams)))

    def _scored(self, level: int, part: Part, found: Found) -> ScoredPairs | EngineFailed:
        if found.number.min(initial=0) < 0:
            return EngineFailed(f"the model's scores are not finite at level {level}")
        within = np.arange(found.node.shape[1]) < found.number[:, None]
        row_P = torch.from_numpy(np.repeat(np.arange(len(found.number)), found.number))
        iap_P, rsp_P = torch.from_numpy(found.iap[within]).double(), torch.from_numpy(found.rsp[within]).double()
        score_P = part.beams.score[row_P] + rsp_P
        if part.plan.iap_mix:
            score_P = score_P + part.plan.iap_mix * iap_P
        return ScoredPairs(row_P, torch.from_numpy(found.node[within]), iap_P, rsp_P, score_P)

    def _run(self, calls: Iterator[Callable[[], None]]) -> None:
        for done in [self._pool.submit(call) for call in calls]:
            done.result()


def _cut_over_all(found: Found, beams: Beams, most: int) -> None:
    """Keep the `most` candidates of the greatest log p of the whole prefix; equals go to the lower (beam, node)."""
    within = np.arange(found.node.shape[1]) < found.number[:, None]
    row_P = np.nonzero(within)[0]
    total_P = beams.iap.numpy().sum(1)[row_P] + found.iap[within].astype(np.float64)
    kept = np.sort(np.argsort(-total_P, kind="stable")[:most])
    row, node, iap = row_P[kept], found.node[within][kept], found.iap[within][kept]
    found.number[:] = np.bincount(row, minlength=len(found.number))
    place = np.arange(len(row)) - (np.cumsum(found.number) - found.number)[row]
    found.node[row, place] = node
    found.iap[row, place] = iap


def _own_scores(query_CRE: Tensor, own: Keys) -> Float32s:
    """Scores [R, B, J, C] of scaled queries against the beams' own keys [B, J, R, E]."""
    beams, keys, heads, width = own.key.shape
    key_RNE = own.key.permute(2, 0, 1, 3).reshape(heads, beams * keys, width)
    scores = torch.bmm(key_RNE, query_CRE.permute(1, 2, 0))
    return _floats(scores.view(heads, beams, keys, -1))


def _turns(beams: int) -> Iterator[Int64s]:
    for first in range(0, beams, BEAMS_A_TURN):
        yield np.arange(first, min(beams, first + BEAMS_A_TURN))


def _floats(values: Tensor) -> Float32s:
    """As contiguous float32, without a copy where it is that already."""
    array: Float32s = values.detach().float().contiguous().numpy()
    return array
