"""The inference engine as precompute sees it, over HTTP or in the same process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from contracts.candidate_set import Candidate
from contracts.ids import ItemId, UserId

LambdaScope = Literal["prefix", "request"]

MODEL_HEADER = "rankgr-model-version"
CATALOG_HEADER = "rankgr-catalog-version"
"""What every answer of an engine names, refusals too; percent-encoded."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One user's prompt; None means the bundle's default.  `deadline_ms` counts from the call.

    `item_filter`: one bit per row of the catalogue (model/semantic_id/item_filter.py), 1 for what is left out;
    it needs `catalog_version`.  `catalog_version`: what tokens and filter were made for; an engine of another
    one refuses them.  None: whatever is served will do.  `reworded` puts the same question for another catalogue,
    or gives None where that one is not known; it does not travel.
    """

    user_id: UserId
    tokens: tuple[int, ...]
    beams: tuple[int, ...] | None = None
    lambdas: tuple[int, ...] | None = None
    exclude: tuple[ItemId, ...] = ()
    deadline_ms: int | None = None
    max_items: int | None = None
    lambda_scope: LambdaScope | None = None
    iap_mix: float | None = None
    item_filter: bytes | None = None
    catalog_version: str | None = None
    reworded: Callable[[str], EngineRequest | None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """Items best first, from exactly one model and catalogue version.

    `timings_ms` per stage; `counts`: what the host counted, as the prompt's reused_tokens and computed_tokens.
    """

    model_version: str
    catalog_version: str
    items: tuple[Candidate, ...]
    timings_ms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class InferenceEngine(Protocol):
    """Decodes one user's prompt.

    Raises EngineDown, EngineBusy, DeadlineExceeded (retriable while the trigger is young), or for this
    request alone BadRequest, PromptTooLong, UnknownToken, CatalogMismatch, NothingToRecommend, EngineFailed.
    A caller that is cancelled frees what its request held.
    """

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        """The best items for this prompt."""
        ...

    async def ping(self) -> None:
        """Raise EngineDown when the engine cannot decode now."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...


@dataclass(frozen=True, slots=True)
class LevelScores:
    """What one level thought of an item's code: log p of IAP and log s of RSP; None: not known apart."""

    iap_logprob: float | None
    rsp_logscore: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer with what every level thought of each item: `levels[k]` belongs to `answer.items[k]`."""

    answer: EngineAnswer
    levels: tuple[tuple[LevelScores, ...], ...]


class ExplainingEngine(Protocol):
    """The engine as people ask it who want to know why.  Raises as InferenceEngine does."""

    async def explain(self, request: EngineRequest) -> Explanation:
        """The best items for this prompt, with every level's scores."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
