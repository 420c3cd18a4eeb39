"""The search as vLLM's users would write it: a request per beam and level, scored by the RSP logits processor.

Each level has a width of its own, which vLLM's beam search does not have.  What it costs stands in docs/vllm.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import BadRequest, EngineDown, EngineFailed
from model.decoding.expand import ListRules, expand
from model.decoding.neighbour_order import NeighbourOrdering
from model.decoding.request import DecodePlan, DecodeRequest, DecodeResult, Float64s, ScoredSids, plan_of
from model.network.config import RankGRConfig
from model.semantic_id.catalog import Catalog, Int64s
from model.semantic_id.neighbours import Neighbours
from model.semantic_id.trie import Trie
from services.engine.vllm_host.options import VllmOptions
from services.engine.vllm_plugin.names import EXTRA, PROMPT_TOKENS
from services.engine.vllm_plugin.packed_answer import wishes_of

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

# Shapes: B beams, K pairs kept, M levels.


@dataclass(frozen=True, slots=True, eq=False)
class _Beams:
    """Kept prefixes in SID order: node int64 [B] of the trie's level; codes int64, gain float64 [B, level]."""

    node: Int64s
    codes: Int64s
    gain: Float64s

    @classmethod
    def root(cls) -> _Beams:
        return cls(np.zeros(1, np.int64), np.zeros((1, 0), np.int64), np.zeros((1, 0)))

    def at(self, rows: Int64s) -> _Beams:
        return _Beams(self.node[rows], self.codes[rows], self.gain[rows])

    def grown_by_nothing(self) -> _Beams:
        """No beam of the next level either."""
        levels = self.codes.shape[1] + 1
        return _Beams(self.node, np.zeros((0, levels), np.int64), np.zeros((0, levels)))


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What all beams of a level ask."""

    level: int
    plan: DecodePlan
    wishes: dict[str, Any]
    size: int

    @property
    def most(self) -> int:
        """Pairs that one beam can bring into the next width."""
        return min(self.plan.beams[self.level - 1], self.size)


@dataclass(slots=True, eq=False)
class BeamByBeam:
    """See `Search`."""

    config: RankGRConfig
    catalog: Catalog
    neighbours: Neighbours | None = None
    clock_s: Callable[[], float] = time.perf_counter
    trie: Trie = field(init=False)
    ordering: NeighbourOrdering | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.trie = Trie.of_catalog(self.catalog)
        if self.neighbours is not None:
            self.ordering = NeighbourOrdering.of(self.neighbours, self.config, self.catalog, self.trie)

    def arguments(self, options: VllmOptions) -> dict[str, Any]:
        """A model that generates."""
        return options.generation_arguments()

    def environment(self, options: VllmOptions) -> dict[str, str]:
        """With the runner that the processor is made for."""
        return options.generation_environment()

    async def __call__(self, engine: AsyncLLM, request: DecodeRequest, name: str) -> DecodeResult:
        """Level by level; log p and log s come as one number, so a level's scores are told where mu is 0."""
        plan = plan_of(request, self.config)
        if plan.lambda_scope == "request":
            raise BadRequest("lambda_scope: request needs all beams in one step, which the pooled decoding has")
        wishes = wishes_of(request) | {PROMPT_TOKENS: len(plan.tokens)}
        beams, timings_ms = _Beams.root(), {}
        for level in range(1, self.trie.levels + 1):
            started_s = self.clock_s()
            step = _Step(level, plan, wishes, self.trie.level_sizes[level - 1])
            beams = await self._level(engine, step, beams, name)
            timings_ms[f"level{level}"] = (self.clock_s() - started_s) * 1e3
        started_s = self.clock_s()
        result = self._listed(plan, beams)
        result.timings_ms.update(timings_ms | {"expand": (self.clock_s() - started_s) * 1e3})
        return result

    async def _level(self, engine: AsyncLLM, step: _Step, beams: _Beams, name: str) -> _Beams:
        """Every beam by one token, the best pairs of all of them."""
        level, plan = step.level, step.plan
        tasks = [
            asyncio.ensure_future(_next_scores(engine, self._tokens(plan, codes), step, f"{name}-{level}-{row}"))
            for row, codes in enumerate(beams.codes)
        ]
        if not tasks:
            return beams.grown_by_nothing()
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            # One that failed, or a caller that left, takes the others' requests with it.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        offset = self.config.levels[level - 1].token_offset
        grown: list[_Beams] = []
        for row, (token_P, gain_P) in enumerate(answers):
            code_P = token_P - offset
            node = int(beams.node[row])
            node_P = self.trie.child_start[level - 1][node] + np.searchsorted(
                self.trie.children(level - 1, node), code_P
            )
            before = np.full(len(code_P), row)
            grown.append(
                _Beams(
                    node_P,
                    np.concatenate((beams.codes[before], code_P[:, None]), 1),
                    np.concatenate((beams.gain[before], gain_P[:, None]), 1),
                )
            )
        every = _Beams(*(np.concatenate([getattr(part, name) for part in grown]) for name in _Beams.__slots__))
        # As stored: what rounds to the same float32 is a tie, and goes to the lower SID.
        score = every.gain.sum(1).astype(np.float32)
        best = np.lexsort((every.node, -score))[: plan.beams[level - 1]]
        return every.at(best[np.argsort(every.node[best])])

    def _tokens(self, plan: DecodePlan, codes: Int64s) -> list[int]:
        fed = [part.token_offset + int(code) for part, code in zip(self.config.levels, codes, strict=False)]
        return [*plan.tokens.tolist(), *fed]

    def _listed(self, plan: DecodePlan, beams: _Beams) -> DecodeResult:
        left_out = self.catalog.rows_of(np.fromiter(plan.exclude, np.int64, len(plan.exclude)))
        left_out = left_out[left_out >= 0]
        if plan.item_filter is not None:
            left_out = np.union1d(left_out, plan.item_filter.rows(len(self.catalog)))
        score = beams.gain.sum(1)
        if self.ordering is not None:
            score = score + self.ordering.gains(plan.tokens, beams.node)
        order = np.lexsort((beams.node, -score.astype(np.float32)))
        unknown = np.full(beams.gain.shape, np.nan)
        sids = ScoredSids(
            sid=beams.node[order],
            score=score[order],
            iap_logprob=unknown,
            rsp_logscore=unknown if plan.iap_mix else beams.gain[order],
        )
        rules = ListRules(self.config.decode.max_items_per_sid, plan.max_items)
        return expand(sids, left_out, self.catalog, self.trie, rules)


async def _next_scores(engine: AsyncLLM, tokens: list[int], step: _Step, name: str) -> tuple[Int64s, Float64s]:
    """Tokens that may follow with their scores, the best of them, as many as the level keeps."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input

    params = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        logprobs=step.most,
        detokenize=False,
        flat_logprobs=True,
        extra_args={EXTRA: step.wishes},
    )
    async for output in engine.generate(tokens_input(tokens), params, name):
        found = output.outputs[0].logprobs
        if found is None or not len(found.logprobs):
            raise EngineDown("vLLM dropped the request")
        # The first one is the token that was taken, which stands among the best once more.
        score_P = np.array(found.logprobs[1:], np.float64)
        if np.isnan(score_P).any():
            raise EngineFailed(f"the model's scores are not finite at level {step.level}")
        alive_P = np.isfinite(score_P)
        return np.array(found.token_ids[1:], np.int64)[alive_P], score_P[alive_P]
    raise EngineDown("vLLM gave no answer")
