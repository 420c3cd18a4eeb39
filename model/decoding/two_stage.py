"""Two-stage decoding, batched over users: equal to the reference, sharing what beams have in common.

The engine and the evaluation call it; it keeps nothing between calls and opens nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch

from contracts.errors import BadBundle, DeadlineExceeded, EngineFailed, RankGRError
from model.decoding.beams import Beams, feed_codes
from model.decoding.blocks import Blocks
from model.decoding.expand import ListRules, expand
from model.decoding.extend import ExtendBeams, LevelOfTrie
from model.decoding.prefill import Prefix, prefill
from model.decoding.rank_stage import RankStage
from model.decoding.request import DecodePlan, DecodeRequest, DecodeResult, ScoredSids, plan_of
from model.decoding.select import order_of
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Removed, Trie

DEFAULT_BLOCKS = Blocks()


class _Ticket:
    """One good request on its way through the batch."""

    __slots__ = ("beams", "failure", "plan", "prefix", "removed", "wanted")

    def __init__(self, plan: DecodePlan, removed: Removed, wanted: Callable[[], bool] | None) -> None:
        self.plan = plan
        self.wanted = wanted
        self.removed = removed
        self.prefix: Prefix | None = None
        self.beams: Beams | None = None
        self.failure: RankGRError | None = None


class TwoStageDecoder:
    """Decodes for one network, whose weights must not change afterwards, and one catalogue.

    `hidden` items are never recommended.  Raises BadBundle when network and catalogue have different levels.
    Safe to call from several threads.
    """

    def __init__(
        self,
        network: RankGRNetwork,
        config: RankGRConfig,
        catalog: Catalog,
        hidden: Collection[int] = frozenset(),
        *,
        blocks: Blocks = DEFAULT_BLOCKS,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        if catalog.level_sizes != config.level_sizes:
            raise BadBundle(f"levels of catalogue {catalog.level_sizes} and model {config.level_sizes} differ")
        self.catalog = catalog
        self.trie = Trie.of_catalog(catalog)
        self._network = network
        self._config = config
        self._clock_s = clock_s
        self._blocks = blocks
        self._hidden_rows = _known_rows(catalog, hidden)
        nodes = LevelOfTrie.all_of(self.trie, network.device)
        self._extend = ExtendBeams(network, nodes, RankStage(network, blocks), blocks)

    def __call__(self, requests: Sequence[DecodeRequest]) -> list[DecodeResult | RankGRError]:
        """One answer per request, in order; an error value concerns its own request alone.

        BadRequest, PromptTooLong, UnknownToken: refused; EngineFailed: states or scores were not finite;
        DeadlineExceeded: it said that it is no longer wanted.
        """
        timings: dict[str, float] = {}
        tickets = self._decode(requests, timings)
        started = self._clock_s()
        answers = [ticket if isinstance(ticket, RankGRError) else self._expanded(ticket) for ticket in tickets]
        timings["expand"] = (self._clock_s() - started) * 1e3
        for answer in answers:
            if isinstance(answer, DecodeResult):
                answer.timings_ms.update(timings)
        return answers

    def final_sids(self, requests: Sequence[DecodeRequest]) -> list[ScoredSids | RankGRError]:
        """The final beams before they become items, in float64."""
        return [
            ticket if isinstance(ticket, RankGRError) else self._scored(ticket) for ticket in self._decode(requests, {})
        ]

    def _decode(self, requests: Sequence[DecodeRequest], timings: dict[str, float]) -> list[_Ticket | RankGRError]:
        accepted = [self._accept(request) for request in requests]
        tickets = [ticket for ticket in accepted if isinstance(ticket, _Ticket)]
        with torch.inference_mode():
            started = self._clock_s()
            self._prefill(tickets)
            for level in range(1, self.trie.levels + 1):
                timings["prefill" if level == 1 else f"level{level - 1}"] = (self._clock_s() - started) * 1e3
                started = self._clock_s()
                self._level(level, tickets)
            timings[f"level{self.trie.levels}"] = (self._clock_s() - started) * 1e3
        return [
            ticket.failure if isinstance(ticket, _Ticket) and ticket.failure is not None else ticket
            for ticket in accepted
        ]

    def _accept(self, request: DecodeRequest) -> _Ticket | RankGRError:
        try:
            plan = plan_of(request, self._config)
            left_out = [self._hidden_rows, _known_rows(self.catalog, plan.exclude)]
            if plan.item_filter is not None:
                left_out.append(plan.item_filter.rows(len(self.catalog)))
        except RankGRError as error:
            return error
        return _Ticket(plan, self.trie.without(np.concatenate(left_out)), request.wanted)

    def _prefill(self, tickets: Sequence[_Ticket]) -> None:
        if not tickets:
            return
        for ticket, prefix in zip(tickets, prefill(self._network, [t.plan for t in tickets]), strict=True):
            ticket.prefix = prefix
            ticket.beams = Beams.root(self._network.device)
            if not prefix.usable:
                ticket.failure = EngineFailed("the model's states of this prompt are not finite")

    def _level(self, level: int, tickets: Sequence[_Ticket]) -> None:
        """Extend the beams of every user who still has some, and whose answer is still wanted."""
        for ticket in tickets:
            if ticket.wanted is not None and ticket.failure is None and not ticket.wanted():
                ticket.failure = DeadlineExceeded(f"nobody waits for this prompt any more before level {level}")
        going = [
            (ticket, ticket.prefix, ticket.beams)
            for ticket in tickets
            if ticket.failure is None and ticket.prefix is not None and ticket.beams
        ]
        if not going:
            return
        if level == 1:
            fed = [(prefix.state.unsqueeze(0), beams) for _, prefix, beams in going]
        else:
            users = [(prefix, beams) for _, prefix, beams in going]
            fed = feed_codes(self._network, level - 1, users, self._blocks)
        for (ticket, prefix, _), (state_BD, beams) in zip(going, fed, strict=True):
            if not bool(torch.isfinite(state_BD).all()):
                ticket.failure = EngineFailed(f"the model's states are not finite at level {level}")
                continue
            try:
                ticket.beams = self._extend(level, ticket.plan, ticket.removed, prefix.rank_keys, (beams, state_BD))
            except EngineFailed as error:
                ticket.failure = error

    def _scored(self, ticket: _Ticket) -> ScoredSids:
        beams = ticket.beams
        levels = self.trie.levels
        if beams is None or not len(beams):
            none = np.empty((0, levels))
            return ScoredSids(np.empty(0, np.int64), np.empty(0), none, none)
        order = order_of(beams.score.float())
        return ScoredSids(
            sid=beams.node[order].cpu().numpy(),
            score=beams.score[order].cpu().numpy(),
            iap_logprob=beams.iap[order].cpu().numpy(),
            rsp_logscore=beams.rsp[order].cpu().numpy(),
        )

    def _expanded(self, ticket: _Ticket) -> DecodeResult:
        rules = ListRules(self._config.decode.max_items_per_sid, ticket.plan.max_items)
        return expand(self._scored(ticket), ticket.removed.rows, self.catalog, self.trie, rules)


def _known_rows(catalog: Catalog, items: Collection[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Rows of the items that the catalogue knows."""
    rows = catalog.rows_of(np.fromiter(items, dtype=np.int64, count=len(items)))
    return rows[rows >= 0]
