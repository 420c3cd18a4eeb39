"""The two-stage search behind the prompts, batched over users: IAP, RSP, beam, level by level; then items.

Both hosts run it: the torch host behind its own prefill, vLLM's worker behind vLLM's.  It keeps nothing of a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from contracts.errors import BadBundle, DeadlineExceeded, EngineFailed, RankGRError
from model.decoding.beams import Beams, feed_codes
from model.decoding.blocks import Blocks
from model.decoding.code_table import CodeQueries, CodeTable
from model.decoding.decodable import Decodable
from model.decoding.expand import ListRules, expand
from model.decoding.left_out import LeftOut
from model.decoding.level_search import LevelSearch
from model.decoding.neighbour_order import NeighbourOrdering
from model.decoding.pair_scorers import scorer_for
from model.decoding.pairs import Part, ScoredPairs
from model.decoding.prompt_keys import PromptKeys
from model.decoding.request import DecodePlan, DecodeRequest, DecodeResult, ScoredSids, plan_of
from model.decoding.select import order_of
from model.decoding.trie_on_device import levels_of
from model.network.rank_head import Keys
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours
from model.semantic_id.trie import Removed, Trie


@dataclass(slots=True, eq=False)
class Job:
    """One good request on its way through the batch.  `prompt` is set before the stages; a failure ends it."""

    request: DecodeRequest
    plan: DecodePlan
    removed: Removed
    prompt: PromptKeys | None = None
    beams: Beams | None = None
    failure: RankGRError | None = None
    counts: dict[str, int] = field(default_factory=dict)


class TwoStages:
    """For one network, whose weights must not change afterwards, and one catalogue.

    `hidden` items are never recommended.  `neighbours`: what the model's order is to be corrected by, where it wants
    that.  Raises BadBundle when network and catalogue have different levels.  Safe to call from several threads.
    """

    def __init__(
        self,
        network: Decodable,
        catalog: Catalog,
        hidden: Collection[int] = frozenset(),
        *,
        blocks: Blocks,
        neighbours: Neighbours | None = None,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        if catalog.level_sizes != network.config.level_sizes:
            raise BadBundle(f"levels of catalogue {catalog.level_sizes} and model {network.config.level_sizes} differ")
        self.catalog = catalog
        self.trie = Trie.of_catalog(catalog)
        self._network = network
        self._blocks = blocks
        self._clock_s = clock_s
        self._ordering: NeighbourOrdering | None = None
        if neighbours is not None:
            self._ordering = NeighbourOrdering.of(neighbours, network.config, catalog, self.trie)
        self._left_out = LeftOut(catalog, self.trie, hidden)
        self._nodes = levels_of(self.trie, network.device)
        self._score_pairs = scorer_for(network, self._nodes, blocks)
        with torch.inference_mode():
            self._queries = [CodeQueries.of(network, level + 1) for level in range(self.trie.levels)]

    def accept(self, request: DecodeRequest) -> Job | RankGRError:
        """A job for a good request; for a bad one BadRequest, PromptTooLong or UnknownToken, as a value."""
        try:
            plan = plan_of(request, self._network.config)
            removed = self._left_out.of(plan)
        except RankGRError as error:
            return error
        return Job(request, plan, removed)

    def search(self, jobs: Sequence[Job], timings_ms: dict[str, float]) -> None:
        """Find each job's final beams; adds level1..levelM to the timings.

        A failure in a job concerns it alone: EngineFailed, or DeadlineExceeded where it is no longer wanted.
        """
        for job in jobs:
            if job.prompt is not None and not job.prompt.usable:
                job.failure = EngineFailed("the model's states of this prompt are not finite")
            elif job.prompt is not None:
                job.beams = Beams.root(self._network.device)
        with torch.inference_mode():
            for level in range(1, self.trie.levels + 1):
                started = self._clock_s()
                _drop_unwanted(level, jobs)
                self._level(level, [job for job in jobs if job.failure is None and job.beams])
                timings_ms[f"level{level}"] = (self._clock_s() - started) * 1e3

    def answer(self, job: Job) -> DecodeResult | RankGRError:
        """The items of a job's final beams, or its failure."""
        if job.failure is not None:
            return job.failure
        rules = ListRules(self._network.config.decode.max_items_per_sid, job.plan.max_items)
        result = expand(self.scored_sids(job), job.removed.rows, self.catalog, self.trie, rules)
        result.counts.update(job.counts)
        return result

    def scored_sids(self, job: Job) -> ScoredSids:
        """A job's final beams, best first, in float64."""
        beams = job.beams
        if beams is None or not len(beams):
            none = np.empty((0, self.trie.levels))
            return ScoredSids(np.empty(0, np.int64), np.empty(0), none, none)
        score = beams.score
        if self._ordering is not None:
            gain = self._ordering.gains(job.plan.tokens, beams.node.cpu().numpy())
            score = score + torch.from_numpy(gain).to(score)
        order = order_of(score.float())
        return ScoredSids(
            sid=beams.node[order].cpu().numpy(),
            score=score[order].cpu().numpy(),
            iap_logprob=beams.iap[order].cpu().numpy(),
            rsp_logscore=beams.rsp[order].cpu().numpy(),
        )

    def table(self, level: int, shared: Keys) -> CodeTable:
        """What no beam changes at a level (1..M), for the keys [U, R, E] that all beams of a prompt share."""
        return CodeTable(self._network.rank_head, self._queries[level - 1], shared)

    def pairs(self, level: int, parts: Sequence[Part]) -> Sequence[ScoredPairs | EngineFailed]:
        """Every pair of a level with its scores, for whoever keeps beams elsewhere; see `PairScorer`."""
        with torch.inference_mode():
            return self._score_pairs(level, parts)

    def _level(self, level: int, jobs: Sequence[Job]) -> None:
        """Extend the beams of these users, best first, until no other beam can matter."""
        searches = [(job, self._search_of(level, job)) for job in jobs]
        going = searches
        while going:
            taken = [(job, search, search.next_beams(self._blocks.beams)) for job, search in going]
            going = self._extend(level, [(job, search, beams) for job, search, beams in taken if beams is not None])
        for job, search in searches:
            if job.failure is None:
                job.beams = search.kept(self._nodes[level - 1])
                job.counts[f"beams{level}"] = search.figures.beams
                job.counts[f"extended{level}"] = search.figures.extended

    def _search_of(self, level: int, job: Job) -> LevelSearch:
        if job.prompt is None or job.beams is None:
            raise ValueError("a job needs its prompt and beams before it is searched")
        table = self.table(level, job.prompt.rank_keys)
        return LevelSearch(job.plan, level, job.beams, table)

    def _extend(self, level: int, taken: Sequence[tuple[Job, LevelSearch, Beams]]) -> list[tuple[Job, LevelSearch]]:
        """One round: a few beams of every user fed and scored together; who may have more to do."""
        parts: list[tuple[Job, LevelSearch, Part]] = []
        for (job, search, _), (state_BD, grown) in zip(taken, self._fed(level, taken), strict=True):
            if bool(torch.isfinite(state_BD).all()):
                dead = job.removed.dead[level - 1]
                parts.append((job, search, Part(job.plan, grown, state_BD, search.table, dead, search.least)))
            else:
                job.failure = EngineFailed(f"the model's states are not finite at level {level}")
        going: list[tuple[Job, LevelSearch]] = []
        answers = self._score_pairs(level, [part for _, _, part in parts]) if parts else []
        for (job, search, part), scored in zip(parts, answers, strict=True):
            if isinstance(scored, EngineFailed):
                job.failure = scored
            else:
                search.take(part.beams, scored)
                going.append((job, search))
        return going

    def _fed(self, level: int, taken: Sequence[tuple[Job, LevelSearch, Beams]]) -> list[tuple[Tensor, Beams]]:
        """The beams' states [B, D]: h_1 at the first level, else behind one more code."""
        users = [(job.prompt, beams) for job, _, beams in taken if job.prompt is not None]
        if level == 1:
            return [(prompt.state.unsqueeze(0), beams) for prompt, beams in users]
        return feed_codes(self._network, level - 1, users) if users else []


def _drop_unwanted(level: int, jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.failure is None and job.request.wanted is not None and not job.request.wanted():
            job.failure = DeadlineExceeded(f"nobody waits for this prompt any more before level {level}")
