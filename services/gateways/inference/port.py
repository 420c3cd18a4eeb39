"""The inference engine as precompute sees it, over HTTP or in the same process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from contracts.candidate_set import Candidate
from contracts.ids import ItemId, UserId


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One user's prompt; None means the bundle's default.  `deadline_ms` counts from the call."""

    user_id: UserId
    tokens: tuple[int, ...]
    beams: tuple[int, ...] | None = None
    lambdas: tuple[int, ...] | None = None
    exclude: tuple[ItemId, ...] = ()
    deadline_ms: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """Items best first, from exactly one model and catalogue version.  `timings_ms` per stage."""

    model_version: str
    catalog_version: str
    items: tuple[Candidate, ...]
    timings_ms: dict[str, float] = field(default_factory=dict)


class InferenceEngine(Protocol):
    """Decodes one user's prompt.

    Raises EngineDown, EngineBusy, DeadlineExceeded (retriable while the trigger is young), or for this
    request alone BadRequest, PromptTooLong, UnknownToken, EngineFailed.
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
