"""An arm without sockets: histories, join, learner and decoder as plain calls, event time as told.

What the real stack does in between (streams, stores, bundles, swaps) is left out; what is learnt is the same.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.behaviors import LEVEL_OF, Level
from contracts.errors import RankGRError
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import CandidatesComputed, RequestContext, TriggerRequested
from model.bundle.read import Bundle
from model.data.changing_market import ChangingMarket, Deed, PeriodRequests
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.network.network import RankGRNetwork
from model.prompt import PromptContext, prompt_from_history
from model.sessions.rules import JoinRules
from model.sessions.session_join import SessionJoin
from model.training.incremental.config import IncrementalConfig
from model.training.incremental.learner import Learner
from model.training.incremental.stream_sample import StreamSample
from services.simulate.arm import Past, Served

AT_ONCE = 32
LISTED = 100
HOUR_MS = 3_600_000
# A shopper looks at the page for a while.
DEED_AFTER_MS = 5_000


@dataclass(frozen=True, slots=True)
class Terms:
    """page: items shown.  period_ms: event time of a period.  began_ms: when the first one begins, Unix ms."""

    page: int
    began_ms: int
    period_ms: int = HOUR_MS


class InProcessArm:
    """A bundle, and a learner on it where there is a configuration for one."""

    def __init__(self, bundle: Bundle, past: Past, terms: Terms, learning: IncrementalConfig | None) -> None:
        self._terms = terms
        self._fmt, self._catalog, self._neighbours = bundle.prompt_format, bundle.catalog, bundle.neighbours
        self._histories = {
            user: [(int(one.item_id), int(LEVEL_OF[one.behavior])) for one in events] for user, events in past.items()
        }
        self._learning = None if learning is None else _Learning(bundle, learning, past)
        self._version = bundle.manifest.model_version
        self._updates = 0
        self._serve(bundle.network())

    async def play(self, market: ChangingMarket, requests: PeriodRequests) -> Sequence[Served]:
        """Decoded in batches; nobody comes twice in a period, so that all lists may be made first."""
        results = self._decode([self._request(requests, number) for number in range(len(requests))])
        served = []
        for number, result in enumerate(results):
            listed = result.item_id.tolist()
            shown = tuple(listed[: self._terms.page])
            self._tell(requests, number, listed, market.deeds(requests, number, shown))
            served.append(Served(shown, self._version))
        return served

    async def end_period(self) -> None:
        """All its sessions are settled and learnt from; the next one meets the new weights."""
        if self._learning is not None:
            self._updates += 1
            self._version = f"{self._version.partition('+')[0]}+{self._updates}"
            self._serve(self._learning.update())

    def _serve(self, network: RankGRNetwork) -> None:
        # The decoder wants weights that stay; a learner goes on with its own.
        self._decoder = TwoStageDecoder(network, self._catalog, neighbours=self._neighbours)

    def _at_ms(self, requests: PeriodRequests, number: int) -> int:
        terms = self._terms
        return terms.began_ms + requests.period * terms.period_ms + number * terms.period_ms // (2 * len(requests))

    def _request(self, requests: PeriodRequests, number: int) -> DecodeRequest:
        events = self._histories.get(requests.user(number), [])
        context = PromptContext.at(self._at_ms(requests, number), requests.scene(number), requests.device(number))
        prompt = prompt_from_history(
            self._fmt, self._catalog, [item for item, _ in events], [level for _, level in events], context
        )
        return DecodeRequest(tokens=prompt.tokens, max_items=LISTED)

    def _decode(self, requests: list[DecodeRequest]) -> list[DecodeResult]:
        results = []
        for start in range(0, len(requests), AT_ONCE):
            for result in self._decoder(requests[start : start + AT_ONCE]):
                if isinstance(result, RankGRError):
                    raise result
                results.append(result)
        return results

    def _tell(self, requests: PeriodRequests, number: int, listed: list[int], deeds: Sequence[Deed]) -> None:
        user, at_ms = requests.user(number), self._at_ms(requests, number)
        if self._learning is not None:
            self._learning.hear(_Visit(user, requests, number, at_ms), listed, deeds)
        self._histories.setdefault(user, []).extend(
            (deed.item_id, int(LEVEL_OF[deed.behavior])) for deed in deeds if LEVEL_OF[deed.behavior] >= Level.CLICK
        )


@dataclass(frozen=True, slots=True)
class _Visit:
    user: str
    requests: PeriodRequests
    number: int
    at_ms: int

    @property
    def request_id(self) -> str:
        return f"{self.requests.period}-{self.number}"


@dataclass(slots=True)
class _Learning:
    """The join, and the learner behind it."""

    bundle: Bundle
    config: IncrementalConfig
    past: Past
    join: SessionJoin = field(default_factory=lambda: SessionJoin(JoinRules()))
    newest_ms: int = 0
    known: set[str] = field(default_factory=set)
    learner: Learner = field(init=False)

    def __post_init__(self) -> None:
        self.learner = Learner(self.bundle.network(), self.bundle.prompt_format, self.bundle.catalog, self.config)

    def hear(self, visit: _Visit, listed: list[int], deeds: Sequence[Deed]) -> None:
        """Trigger, candidates and interactions of one request; with the first trigger what the user did before."""
        user, request_id = UserId(visit.user), RequestId(visit.request_id)
        recent = () if visit.user in self.known else self.past.get(visit.user, ())
        self.known.add(visit.user)
        self.join.trigger(
            TriggerRequested(
                event_id=EventId(request_id),
                user_id=user,
                request_id=request_id,
                accepted_at=visit.at_ms,
                scene=visit.requests.scene(visit.number),
                recent=recent,
                context=RequestContext(device=visit.requests.device(visit.number)),
            )
        )
        self.join.candidates(
            CandidatesComputed(
                event_id=EventId(request_id),
                user_id=user,
                request_id=request_id,
                triggered_at=visit.at_ms,
                generated_at=visit.at_ms,
                model_version=self.bundle.manifest.model_version,
                catalog_version=self.bundle.manifest.catalog_version,
                item_ids=tuple(map(ItemId, listed)),
            )
        )
        for number, deed in enumerate(deeds):
            at_ms = visit.at_ms + DEED_AFTER_MS + number
            self.join.happened(user, deed.item_id, deed.behavior, at_ms, request_id, None)
        self.newest_ms = max(self.newest_ms, visit.at_ms)

    def update(self) -> RankGRNetwork:
        """Learn from all that was told; a copy of the weights."""
        for sample in self.join.advance(self.newest_ms + self.join.rules.window_ms + 1):
            self.learner.feed(StreamSample.of(sample))
        self.learner.flush()
        return copy.deepcopy(self.learner.network)
