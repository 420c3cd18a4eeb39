"""The decoding as it is defined, slow and obvious: a whole forward pass per prefix, no trie, no sharing.

The fast decoders are held against it; it shares no arithmetic with them beyond the network's direct forms.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from contracts.errors import BadBundle, EngineFailed
from model.decoding.neighbour_order import RETURN_DECAY
from model.decoding.request import DecodePlan, DecodeRequest, DecodeResult, ScoredSids, key_positions, plan_of
from model.network.attention import wide_dtype
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours

Sid = tuple[int, ...]
"""Codes of a whole semantic id, or of a prefix of one."""


@dataclass(frozen=True, slots=True)
class _Beam:
    """A prefix with its log p and log s per level, and the score they sum to."""

    sid: Sid
    score: float
    iap: tuple[float, ...]
    rsp: tuple[float, ...]

    @property
    def place(self) -> tuple[float, Sid]:
        """Best first: score as stored (float32) descending, then SID."""
        return -float(np.float32(self.score)), self.sid


class ReferenceDecoder:
    """Decodes one request at a time.  Raises what the request deserves: BadRequest, UnknownToken, .."""

    def __init__(
        self,
        network: RankGRNetwork,
        config: RankGRConfig,
        catalog: Catalog,
        hidden: Collection[int] = frozenset(),
        *,
        neighbours: Neighbours | None = None,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        if catalog.level_sizes != config.level_sizes:
            raise BadBundle(f"the catalogue's levels are not the model's: {list(catalog.level_sizes)}")
        self._network = network
        self._config = config
        self._catalog = catalog
        self._hidden = frozenset(hidden)
        self._neighbours = neighbours
        self._clock_s = clock_s
        self._rank_of = {sid: rank for rank, sid in enumerate(sorted({tuple(c) for c in catalog.codes.tolist()}))}

    def __call__(self, request: DecodeRequest) -> DecodeResult:
        """Items best first."""
        timings: dict[str, float] = {}
        plan = plan_of(request, self._config)
        beams = self._search(plan, timings)
        started = self._clock_s()
        rows_of = self._living(plan)
        listed = [(beam, row) for beam in beams for row in rows_of[beam.sid][: self._config.decode.max_items_per_sid]][
            : plan.max_items
        ]
        levels = len(self._config.levels)
        result = DecodeResult(
            item_id=np.array([self._catalog.item_id[row] for _, row in listed], dtype=np.int64),
            score=np.array([beam.score for beam, _ in listed], dtype=np.float32),
            codes=np.array([beam.sid for beam, _ in listed], dtype=np.int32).reshape(-1, levels),
            iap_logprob=np.array([beam.iap for beam, _ in listed], dtype=np.float32).reshape(-1, levels),
            rsp_logscore=np.array([beam.rsp for beam, _ in listed], dtype=np.float32).reshape(-1, levels),
            timings_ms=timings,
        )
        timings["expand"] = (self._clock_s() - started) * 1e3
        return result

    def final_sids(self, request: DecodeRequest) -> ScoredSids:
        """The final beam before it becomes items, in float64."""
        beams = self._search(plan_of(request, self._config), {})
        levels = len(self._config.levels)
        return ScoredSids(
            sid=np.array([self._rank_of[beam.sid] for beam in beams], dtype=np.int64),
            score=np.array([beam.score for beam in beams], dtype=np.float64),
            iap_logprob=np.array([beam.iap for beam in beams], dtype=np.float64).reshape(-1, levels),
            rsp_logscore=np.array([beam.rsp for beam in beams], dtype=np.float64).reshape(-1, levels),
        )

    def _living(self, plan: DecodePlan) -> dict[Sid, list[int]]:
        """Rows of the items that may be recommended, by SID; most popular first, then lower id."""
        rows_of: dict[Sid, list[int]] = defaultdict(list)
        filtered = set() if plan.item_filter is None else set(plan.item_filter.rows(len(self._catalog)).tolist())
        for row, item in enumerate(self._catalog.item_id.tolist()):
            if item not in plan.exclude and item not in self._hidden and row not in filtered:
                rows_of[tuple(self._catalog.codes[row].tolist())].append(row)
        for rows in rows_of.values():
            rows.sort(key=lambda row: (-self._catalog.popularity[row], self._catalog.item_id[row]))
        return rows_of

    def _search(self, plan: DecodePlan, timings: dict[str, float]) -> list[_Beam]:
        """The final beam, best first.  One forward pass counts as prefill; every prefix makes it anew."""
        living = self._living(plan)
        with torch.inference_mode():
            started = self._clock_s()
            self._states(plan, ())
            timings["prefill"] = (self._clock_s() - started) * 1e3
            beams = [_Beam((), 0.0, (), ())]
            for level in range(1, len(self._config.levels) + 1):
                started = self._clock_s()
                prefixes = {sid[:level] for sid in living}
                beams = sorted(self._scored(level, plan, beams, prefixes), key=lambda beam: beam.place)
                beams = beams[: plan.beams[level - 1]]
                timings[f"level{level}"] = (self._clock_s() - started) * 1e3
        return self._by_neighbours(plan, beams)

    def _by_neighbours(self, plan: DecodePlan, beams: list[_Beam]) -> list[_Beam]:
        """The same beams, in the order that pairs of training make of it (model/decoding/neighbour_order.py)."""
        order, neighbours = self._config.decode.neighbours, self._neighbours
        if order is None or neighbours is None:
            return beams
        history = self._history(plan)
        said: dict[Sid, float] = defaultdict(float)
        for age, (sid, _) in enumerate(reversed(history)):
            for other, says in self._beside(neighbours, sid):
                said[other] += order.recency**age * says
        total = sum(said.values())
        share = {sid: says / total for sid, says in said.items()}
        last_first = list(dict.fromkeys(sid for sid, clicked in reversed(history) if clicked))
        for since, sid in enumerate(last_first):
            share[sid] = max(share.get(sid, 0.0), order.returns * RETURN_DECAY**since)
        gained = [
            replace(beam, score=beam.score + order.weight * float(np.log(share.get(beam.sid, 0.0) + order.floor)))
            for beam in beams
        ]
        return sorted(gained, key=lambda beam: beam.place)

    def _history(self, plan: DecodePlan) -> list[tuple[Sid, bool]]:
        """SIDs in the prompt, oldest first, and whether each was clicked; foreign ones left out."""
        special = self._config.rankgr.special_tokens
        shown = {special.get("behavior:pseudo_exposure"), special.get("behavior:exposure")}
        levels, tokens = self._config.levels, plan.tokens.tolist()
        found: list[tuple[Sid, bool]] = []
        for start in range(len(tokens) - len(levels) + 1):
            codes = [token - part.token_offset for token, part in zip(tokens[start:], levels, strict=False)]
            if all(0 <= code < part.size for code, part in zip(codes, levels, strict=True)):
                clicked = start == 0 or tokens[start - 1] not in shown
                found.append((tuple(codes), clicked))
        return [(sid, clicked) for sid, clicked in found if sid in self._rank_of]

    def _beside(self, neighbours: Neighbours, sid: Sid) -> list[tuple[Sid, float]]:
        """What pairs of training say of other SIDs, given one."""
        row_of = {item: row for row, item in enumerate(self._catalog.item_id.tolist())}
        found = []
        for number, item in enumerate(neighbours.from_item.tolist()):
            if item not in row_of or tuple(self._catalog.codes[row_of[item]].tolist()) != sid:
                continue
            for pair in range(int(neighbours.start[number]), int(neighbours.start[number + 1])):
                other = int(neighbours.to_item[pair])
                if other in row_of:
                    found.append((tuple(self._catalog.codes[row_of[other]].tolist()), float(neighbours.says[pair])))
        return found

    def _scored(self, level: int, plan: DecodePlan, beams: list[_Beam], prefixes: set[Sid]) -> list[_Beam]:
        """Every candidate of a level with its scores: inside the trie, among the top lambda, RSP on top."""
        most = plan.lambdas[level - 1]
        found: list[tuple[_Beam, int, float]] = []
        for beam in beams:
            logp_V = self._iap(level, plan, beam.sid)
            codes = [code for code in range(len(logp_V)) if (*beam.sid, code) in prefixes]
            if plan.lambda_scope == "prefix":
                codes = sorted(codes, key=lambda code: (-logp_V[code], code))[:most]
            found += [(beam, code, logp_V[code]) for code in codes]
        if plan.lambda_scope == "request":
            found.sort(key=lambda pair: (-(sum(pair[0].iap) + pair[2]), (*pair[0].sid, pair[1])))
            found = found[:most]
        scored: list[_Beam] = []
        for beam in beams:
            mine = [(code, logp) for parent, code, logp in found if parent is beam]
            if not mine:
                continue
            rsp = self._rsp(level, plan, beam.sid, [code for code, _ in mine])
            scored += [
                _Beam(
                    (*beam.sid, code),
                    beam.score + logs + plan.iap_mix * logp,
                    (*beam.iap, logp),
                    (*beam.rsp, logs),
                )
                for (code, logp), logs in zip(mine, rsp, strict=True)
            ]
        return scored

    def _states(self, plan: DecodePlan, sid: Sid) -> Tensor:
        """States [L + len(sid), D] of the prompt and the codes behind it.  Raises EngineFailed for NaN."""
        fed = [part.token_offset + code for part, code in zip(self._config.levels, sid, strict=False)]
        tokens = torch.tensor([[*plan.tokens.tolist(), *fed]], device=self._network.device)
        positions = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        states: Tensor = self._network(tokens, positions)[0]
        if not bool(torch.isfinite(states).all()):
            raise EngineFailed("the model's states of this prompt are not finite")
        return states

    def _iap(self, level: int, plan: DecodePlan, sid: Sid) -> list[float]:
        """log p of every code of the level, the softmax over its whole slice."""
        logits = self._network.level_logits(self._states(plan, sid)[-1], level)
        logp: list[float] = torch.log_softmax(logits.to(wide_dtype(logits.dtype)), -1).tolist()
        return logp

    def _rsp(self, level: int, plan: DecodePlan, sid: Sid, codes: list[int]) -> list[float]:
        """log s of these codes by the direct rank head."""
        length = len(plan.tokens)
        # The prompt's keys hold h_1; h_2..h_level are the states at the codes decoded so far.
        at = [*key_positions(plan.tokens, self._config).tolist(), *range(length, length + level - 1)]
        keys_H = self._states(plan, sid)[at]
        logits = self._network.rank_head.score_logits(self._network.code_embeddings(level)[codes], keys_H)
        logs: list[float] = functional.logsigmoid(logits.to(wide_dtype(logits.dtype))).tolist()
        if not np.all(np.isfinite(logs)):
            raise EngineFailed(f"the model's scores are not finite at level {level}")
        return logs
