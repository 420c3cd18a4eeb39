"""A precompute use case on memory adapters, and an engine that answers what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.behaviors import Behavior
from contracts.candidate_set import Candidate
from contracts.errors import CatalogMismatch, RankGRError, StoreDown
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import CandidatesComputed, RecentInteraction, RequestContext, Topic, TriggerRequested
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from services.gateways.candidate_store.in_memory import MemoryCandidateStore
from services.gateways.event_stream.in_memory import MemoryEventStream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.history.in_memory import MemoryHistoryStore
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.precompute.places import Places
from services.precompute.precompute_candidates import Limits, PrecomputeCandidates
from services.precompute.prompt_of_user import PromptOfUser
from services.precompute.wording import Wording, Wordings
from services.runtime.clock import ManualClock

USER = UserId("u")
SIZES = (4, 5)


def small_catalog() -> Catalog:
    """Items 10 to 19, two codes each."""
    codes = [[row % SIZES[0], row % SIZES[1]] for row in range(10)]
    return Catalog(np.arange(10, 20, dtype=np.int64), np.array(codes, np.int32), np.ones(10, np.float32), SIZES)


def small_format() -> PromptFormat:
    return PromptFormat.create(SIZES, ["home"], max_tokens=64, block_tokens=8)


@dataclass
class TellingEngine:
    """Remembers what it was asked; answers two items, or fails with what is in front of `failures`."""

    catalog_version: str
    failures: list[RankGRError] = field(default_factory=list)
    asked: list[EngineRequest] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        self.asked.append(request)
        self.meanwhile()
        if self.failures:
            raise self.failures.pop(0)
        if request.catalog_version not in (None, self.catalog_version):
            raise CatalogMismatch(str(request.catalog_version), self.catalog_version)
        items = (Candidate(ItemId(12), -0.5, (2, 2)), Candidate(ItemId(13), -1.5, (3, 3)))
        return EngineAnswer("m1", self.catalog_version, items, {"queue": 1.0, "prefill": 2.0})

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""


class EngineOnHold:
    """Answers as another does, once it is let go; counts who is inside."""

    def __init__(self, behind: InferenceEngine) -> None:
        self.behind = behind
        self.let_go = asyncio.Event()
        self.asked: list[UserId] = []
        self.inside = self.most_inside = 0

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        assert request.user_id is not None
        self.asked.append(UserId(request.user_id))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await self.let_go.wait()
        self.inside -= 1
        return await self.behind.recommend(request)

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""


class World:
    """A precompute use case and what it stands on."""

    def __init__(
        self,
        *,
        exclude_purchased: bool = False,
        ledger: MemoryTriggerLedger | None = None,
        places: Places | None = None,
    ) -> None:
        self._groups = 0
        self.clock = ManualClock()
        self.histories = MemoryHistoryStore(self.clock)
        self.store = MemoryCandidateStore(self.clock)
        self.ledger = ledger or MemoryTriggerLedger(self.clock)
        self.stream = MemoryEventStream(self.clock, StreamLimits(retry_after_s=15, retry_delay_s=0))
        self.catalog = small_catalog()
        self.engine = TellingEngine(self.catalog.version)
        self.wordings = Wordings(Wording(PromptOfUser(small_format(), self.catalog, self.catalog.version)))
        self.precompute = PrecomputeCandidates(
            histories=self.histories,
            ledger=self.ledger,
            engine=self.engine,
            store=self.store,
            stream=self.stream,
            clock=self.clock,
            wordings=self.wordings,
            places=places or Places(16, 64, 5.0),
            limits=Limits(max_age_ms=60_000, deadline_ms=5_000, exclude_purchased=exclude_purchased),
        )

    def trigger(
        self,
        request: str = "r-1",
        *,
        event: str | None = None,
        user: str = USER,
        recent: Sequence[tuple[int, Behavior]] = ((11, Behavior.CLICK),),
    ) -> TriggerRequested:
        """A trigger of now; its recent interactions are a second apart, the last of them now."""
        now = self.clock.now_ms()
        return TriggerRequested(
            event_id=EventId(event or f"e-{request}"),
            user_id=UserId(user),
            request_id=RequestId(request),
            accepted_at=now,
            scene="home",
            recent=tuple(
                RecentInteraction(item_id=ItemId(item), behavior=behavior, timestamp=now - 1000 * age)
                for age, (item, behavior) in zip(range(len(recent) - 1, -1, -1), recent, strict=True)
            ),
            context=RequestContext(device="mobile"),
        )

    async def announced(self, trigger: TriggerRequested) -> TriggerRequested:
        """The same trigger, after the trigger process told the ledger."""
        await self.ledger.announce(trigger.user_id, trigger.request_id, trigger.event_id, trigger.accepted_at)
        await self.ledger.published(trigger.user_id, trigger.request_id)
        return trigger

    async def is_settled(self, request: str, user: str = USER) -> bool:
        """Whether nobody has to wait for it any more: a wait then ends at once, long before its limit."""
        waiting = asyncio.ensure_future(self.ledger.wait_settled(UserId(user), RequestId(request), 60.0))
        for _ in range(5):
            await asyncio.sleep(0)
        settled = waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        return settled

    async def told(self) -> list[CandidatesComputed]:
        """The events on `candidates` so far, to a new group each time."""
        self._groups += 1
        consumer = self.stream.consumer(Topic.CANDIDATES, f"test-{self._groups}", "one")
        return [CandidatesComputed.model_validate_json(one.payload) for one in await consumer.receive(100, 0)]


class DownLedger(MemoryTriggerLedger):
    """A ledger whose server is gone."""

    async def newest(self, user: UserId) -> int | None:
        raise StoreDown(f"no ledger for {user}")

    async def settled(self, user: UserId, request: RequestId) -> None:
        raise StoreDown(f"no ledger for {user} {request}")
