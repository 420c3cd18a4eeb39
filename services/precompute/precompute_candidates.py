"""The use case behind the topic `triggers`: history -> prompt -> engine -> store, once per request.

Called by `consumer`, perhaps twice for one trigger and in any order.  Never lets a list go back in time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.candidate_set import MAX_ITEMS, CandidateSet
from contracts.errors import (
    CatalogMismatch,
    DeadlineExceeded,
    EngineDown,
    NoPlace,
    NothingToRecommend,
    RankGRError,
    StoreDown,
)
from contracts.ids import ItemId, RequestId
from contracts.messages import CandidatesComputed, Topic, TriggerRequested
from services.gateways.candidate_store.port import CandidateStore, ListHead
from services.gateways.event_stream.port import EventPublisher
from services.gateways.history.port import HistoryStore, PastInteraction
from services.gateways.inference.port import EngineAnswer, EngineRequest, InferenceEngine
from services.gateways.trigger_ledger.port import TriggerLedger
from services.precompute.newest_triggers import NewestTriggers, TriggerAge
from services.precompute.places import Places, Standing
from services.precompute.prompt_of_user import purchased
from services.precompute.stages import Stages
from services.precompute.turns import Turns
from services.precompute.wording import Wording, Wordings
from services.runtime.clock import Clock
from services.runtime.tracing import Traces, Untraced

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Computed:
    """A list is stored.  Times in milliseconds; `took_ms` counts from the trigger's acceptance."""

    answer: EngineAnswer
    took_ms: int
    unknown_items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer trigger of this user's is known; its `request_id` is None where only its time is known."""

    request_id: RequestId | None


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The list of this request is stored: a redelivery, or a request that was told twice."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody waits for it any more."""

    age_ms: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Too many newer triggers of other users wait: more come than the engine makes lists."""

    age_ms: int


@dataclass(frozen=True, slots=True)
class Empty:
    """The user's history holds no item that the catalogue knows, or nothing is left to recommend.

    The popular list serves better.
    """

    unknown_items: tuple[ItemId, ...]


Outcome = Computed | Superseded | AlreadyThere | Expired | GivenUp | Empty


@dataclass(frozen=True, slots=True)
class Limits:
    """A trigger older than `max_age_ms` is dropped; one engine call may take `deadline_ms`."""

    max_age_ms: int
    deadline_ms: int
    max_items: int = MAX_ITEMS
    exclude_purchased: bool = False


@dataclass(frozen=True, slots=True)
class PrecomputeCandidates:
    """Turn one trigger into one stored candidate set, unless it is not worth computing.

    `wordings`: prompts, and what is left out of every list at this moment, in the words of each catalogue.
    `places`: how many are computed at once, and who is next; of one user never two.
    Raises StoreDown, StreamDown, EngineDown, EngineBusy, and NoPlace where it waited in vain (the trigger should come
    again), and what the engine says of this one request alone.
    """

    histories: HistoryStore
    ledger: TriggerLedger
    engine: InferenceEngine
    store: CandidateStore
    stream: EventPublisher
    clock: Clock
    wordings: Wordings
    limits: Limits
    places: Places
    newest: NewestTriggers = field(default_factory=NewestTriggers)
    turns: Turns = field(default_factory=Turns)
    traces: Traces = field(default_factory=Untraced)

    async def __call__(self, trigger: TriggerRequested) -> Outcome:
        """What became of it.  Its recent interactions enter the history in every case."""
        about = {"request_id": trigger.request_id, "user_id": trigger.user_id, "event_id": trigger.event_id}
        with self.traces.span("stream", about, parent=trigger.traceparent, began_at=trigger.accepted_at):
            # From its acceptance until now; nothing is done in it.
            pass
        with self.traces.span("precompute", about, parent=trigger.traceparent):
            return await self._traced(trigger)

    async def _traced(self, trigger: TriggerRequested) -> Outcome:
        try:
            outcome = await self._outcome_of(trigger)
        except RankGRError as error:
            if not error.retriable:
                await self._settle(trigger)
            raise
        match outcome:
            case Computed():
                # Settled as soon as the list was stored.
                pass
            case Superseded(request_id) if request_id == trigger.request_id:
                # The same request told twice while the ledger was down: its later event still has to come.
                pass
            case AlreadyThere() | Expired() | GivenUp() | Empty() | Superseded():
                await self._settle(trigger)
        return outcome

    async def _outcome_of(self, trigger: TriggerRequested) -> Outcome:
        stages = Stages.begin(self.clock, {"stream": float(max(0, self.clock.now_ms() - trigger.accepted_at))})
        await self._remember(trigger)
        if self.newest.successor_of(trigger) is not None:
            return await self._without_a_place(trigger, Standing.PASSED)
        waits = not self.places.has_one_for(trigger.user_id)
        async with self.places.ask(trigger.user_id, TriggerAge.of(trigger)) as standing:
            if standing is Standing.PLACE:
                if waits:
                    stages.end("waiting")
                return await self._with_a_place(trigger, stages)
        return await self._without_a_place(trigger, standing)

    async def _remember(self, trigger: TriggerRequested) -> None:
        told = [PastInteraction(one.item_id, one.behavior, one.timestamp) for one in trigger.recent]
        if told:
            # In the order in which they came: whoever is computed has what the user's earlier triggers told.
            async with self.turns.of(trigger.user_id):
                await self.histories.remember(trigger.user_id, told)

    async def _without_a_place(self, trigger: TriggerRequested, standing: Standing) -> Outcome:
        if standing is Standing.CLOSED:
            raise NoPlace("this process ends: another one will compute it")
        done = await self._not_worth_computing(trigger)
        if done is None and standing is Standing.TOO_LONG:
            # It waits on in the stream, where no process has to be alive for it.
            raise NoPlace(f"no place for it within {self.places.longest_wait_s:g} s")
        return done or GivenUp(self.clock.now_ms() - trigger.accepted_at)

    async def _with_a_place(self, trigger: TriggerRequested, stages: Stages) -> Outcome:
        user = trigger.user_id
        done = await self._not_worth_computing(trigger)
        if done is not None:
            return done
        history = await self.histories.recent(user)
        wording = self.wordings.now
        prompt = wording.prompt_of(history, trigger)
        if prompt.known_items == 0:
            return Empty(prompt.unknown_items)
        request = self._request(trigger, wording, prompt.tokens, history)
        stages.end("prompt")
        try:
            with self.traces.span("engine call", {"tokens": len(prompt.tokens)}):
                answer = await self._ask(request)
        except NothingToRecommend:
            return Empty(prompt.unknown_items)
        candidates = CandidateSet(
            user_id=user,
            request_id=trigger.request_id,
            triggered_at=trigger.accepted_at,
            generated_at=self.clock.now_ms(),
            model_version=answer.model_version,
            catalog_version=answer.catalog_version,
            items=answer.items,
        )
        stages.end("engine", answer.timings_ms)
        with self.traces.span("store", {"items": len(candidates.items)}):
            stored = await self.store.put(candidates)
        if not stored:
            return Superseded(None)
        stages.end("store")
        # Waiters are woken before the event goes out: they wait for the list, not for the trainer.
        await self._settle(trigger)
        await self._tell(trigger, candidates, stages.took_ms)
        return Computed(answer, candidates.generated_at - trigger.accepted_at, prompt.unknown_items)

    async def _not_worth_computing(self, trigger: TriggerRequested) -> Superseded | AlreadyThere | Expired | None:
        head = await self.store.head(trigger.user_id)
        if head is not None and head.request_id == trigger.request_id:
            await self._tell_again(trigger, head)
            return AlreadyThere()
        if head is not None and head.triggered_at > trigger.accepted_at:
            return Superseded(head.request_id)
        successor = self.newest.successor_of(trigger)
        if successor is not None:
            return Superseded(successor)
        if await self._newest_known_elsewhere(trigger) > trigger.accepted_at:
            return Superseded(None)
        age_ms = self.clock.now_ms() - trigger.accepted_at
        return Expired(age_ms) if age_ms > self.limits.max_age_ms else None

    def _request(
        self, trigger: TriggerRequested, wording: Wording, tokens: tuple[int, ...], history: Sequence[PastInteraction]
    ) -> EngineRequest:
        left_ms = trigger.accepted_at + self.limits.max_age_ms - self.clock.now_ms()

        def reworded(catalog_version: str) -> EngineRequest | None:
            """The same history in the words of an engine that has swapped already, or not yet."""
            other = self.wordings.of(catalog_version)
            if other is None:
                return None
            prompt = other.prompt_of(history, trigger)
            # A prompt without items would be answered with what is popular, as if it were this user's.
            return self._request(trigger, other, prompt.tokens, history) if prompt.known_items else None

        return EngineRequest(
            user_id=trigger.user_id,
            tokens=tokens,
            exclude=purchased(history) if self.limits.exclude_purchased else (),
            # A clock that is ahead of ours may not buy a trigger more than the ordinary time.
            deadline_ms=max(1, min(self.limits.deadline_ms, left_ms)),
            max_items=self.limits.max_items,
            # Hidden items: retrieval would not show them, so that they need not be decoded.
            item_filter=wording.item_filter(),
            catalog_version=wording.catalog_version,
            reworded=reworded,
        )

    async def _ask(self, request: EngineRequest) -> EngineAnswer:
        try:
            return await self.engine.recommend(request)
        except DeadlineExceeded as error:
            # Worth another attempt while the trigger is young; then it expires by its age.
            raise EngineDown(f"no answer within {request.deadline_ms} ms") from error
        except CatalogMismatch as error:
            # Every engine has a bundle that is not known here yet: it will be in a moment, or a person sees why not.
            raise EngineDown(str(error)) from error

    async def _tell(self, trigger: TriggerRequested, candidates: CandidateSet, stages_ms: dict[str, float]) -> None:
        """Publish what was computed, under the trigger's event id: a repetition is then known as one."""
        event = CandidatesComputed(
            event_id=trigger.event_id,
            user_id=candidates.user_id,
            request_id=candidates.request_id,
            triggered_at=candidates.triggered_at,
            generated_at=candidates.generated_at,
            model_version=candidates.model_version,
            catalog_version=candidates.catalog_version,
            item_ids=tuple(one.item_id for one in candidates.items),
            stages_ms=stages_ms,
        )
        await self.stream.publish(Topic.CANDIDATES, candidates.user_id, event.model_dump_json().encode())

    async def _tell_again(self, trigger: TriggerRequested, head: ListHead) -> None:
        """A process that died between storing and publishing left the event untold."""
        page = await self.store.page(trigger.user_id, 0, head.length)
        if page is None or page.head.request_id != trigger.request_id:
            return
        stored = CandidateSet(
            user_id=trigger.user_id,
            request_id=page.head.request_id,
            triggered_at=page.head.triggered_at,
            generated_at=page.head.generated_at,
            model_version=page.head.model_version,
            catalog_version=page.head.catalog_version,
            items=page.items,
        )
        await self._tell(trigger, stored, {})

    async def _newest_known_elsewhere(self, trigger: TriggerRequested) -> int:
        try:
            return await self.ledger.newest(trigger.user_id) or 0
        except StoreDown as error:
            log.warning("coalescing without the ledger: %s", error)
            return 0

    async def _settle(self, trigger: TriggerRequested) -> None:
        try:
            await self.ledger.settled(trigger.user_id, trigger.request_id)
        except StoreDown as error:
            # Its waiters run into their own time limit.
            log.warning("a trigger could not be marked as settled: %s", error)
