"""The torch host's decoder: prompts through our own backbone, behind what users' last prompts left, then the stages.

The engine and the evaluation call it; equal to the reference, sharing what beams have in common.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import torch

from contracts.errors import RankGRError
from model.decoding.blocks import Blocks
from model.decoding.decodable import Decodable
from model.decoding.prefill import prefill
from model.decoding.prefix_cache import CacheFigures, PrefixCache
from model.decoding.request import DecodeRequest, DecodeResult, ScoredSids
from model.decoding.stages import Job, TwoStages
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours
from model.semantic_id.trie import Trie


class TwoStageDecoder:
    """Decodes for one network, whose weights must not change afterwards, and one catalogue.

    `hidden` items are never recommended; `neighbours`: see `TwoStages`; `cache_bytes` bound what is kept of users'
    prompts (0: nothing).
    Raises BadBundle when network and catalogue have different levels.  Safe to call from several threads.
    """

    def __init__(  # noqa: PLR0913 - each is a decision of its own
        self,
        network: Decodable,
        catalog: Catalog,
        hidden: Collection[int] = frozenset(),
        *,
        blocks: Blocks | None = None,
        neighbours: Neighbours | None = None,
        cache_bytes: int = 0,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._blocks = blocks or Blocks.on(network.device)
        self._stages = TwoStages(network, catalog, hidden, blocks=self._blocks, neighbours=neighbours, clock_s=clock_s)
        self._network = network
        self._cache = PrefixCache(cache_bytes)
        self._clock_s = clock_s

    @property
    def catalog(self) -> Catalog:
        """What is recommended."""
        return self._stages.catalog

    @property
    def trie(self) -> Trie:
        """Of the catalogue."""
        return self._stages.trie

    @property
    def cache_figures(self) -> CacheFigures:
        """What the prefix cache holds and has saved."""
        return self._cache.figures

    def __call__(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult | RankGRError]:
        """One answer per request, in order; an error value concerns its own request alone.

        BadRequest, PromptTooLong, UnknownToken: refused; EngineFailed: states or scores were not finite;
        DeadlineExceeded: it said that it is no longer wanted.
        """
        timings_ms: dict[str, float] = {}
        jobs = self._decoded(requests, timings_ms)
        started = self._clock_s()
        answers = [job if isinstance(job, RankGRError) else self._stages.answer(job) for job in jobs]
        timings_ms["expand"] = (self._clock_s() - started) * 1e3
        for answer in answers:
            if isinstance(answer, DecodeResult):
                answer.timings_ms.update(timings_ms)
        return answers

    def final_sids(self, requests: Sequence[DecodeRequest]) -> list[ScoredSids | RankGRError]:
        """The final beams before they become items, in float64."""
        answers: list[ScoredSids | RankGRError] = []
        for job in self._decoded(requests, {}):
            if isinstance(job, RankGRError):
                answers.append(job)
            else:
                answers.append(job.failure or self._stages.scored_sids(job))
        return answers

    def _decoded(self, requests: Sequence[DecodeRequest], timings_ms: dict[str, float]) -> list[Job | RankGRError]:
        accepted = [self._stages.accept(request) for request in requests]
        jobs = [job for job in accepted if isinstance(job, Job)]
        started = self._clock_s()
        with torch.inference_mode():
            self._prefill(jobs)
        timings_ms["prefill"] = (self._clock_s() - started) * 1e3
        self._stages.search(jobs, timings_ms)
        return accepted

    def _prefill(self, jobs: Sequence[Job]) -> None:
        starts = [self._cache.start(job.request.user, job.plan.tokens) for job in jobs]
        for job, start, done in zip(jobs, starts, prefill(self._network, starts, self._blocks.tokens), strict=True):
            job.prompt = done.shared
            job.counts |= {"reused_tokens": start.known, "computed_tokens": start.new}
            self._cache.keep(job.request.user, done.prompt)
