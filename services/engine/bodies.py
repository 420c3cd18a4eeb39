"""What the engine takes and answers over HTTP.  Used by `api`; docs/http.md shows the same to people."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts.ids import ItemIdField, UserIdField
from services.engine.recommend_items import Recommendation
from services.gateways.inference.port import EngineRequest

# Far above every model's context: what is longer is refused before it becomes an array.
MAX_TOKENS = 65_536
MAX_EXCLUDED = 10_000
MAX_LEVELS = 8
MAX_ASKED_ITEMS = 100_000
LONGEST_DEADLINE_MS = 600_000

Token = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Width = Annotated[int, Field(strict=True, ge=1, lt=2**31)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_LEVELS)]


class RecommendBody(BaseModel):
    """One user's prompt.  Widths are per level; null: the bundle's.  `deadline_ms` counts from arrival."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: UserIdField
    tokens: tuple[Token, ...] = Field(min_length=1, max_length=MAX_TOKENS)
    beams: Widths | None = None
    lambdas: Widths | None = None
    exclude: tuple[ItemIdField, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    deadline_ms: int | None = Field(default=None, strict=True, ge=1, le=LONGEST_DEADLINE_MS)
    max_items: int | None = Field(default=None, strict=True, ge=1, le=MAX_ASKED_ITEMS)

    def asked(self) -> EngineRequest:
        """The same for the use case."""
        return EngineRequest(
            user_id=self.user_id,
            tokens=self.tokens,
            beams=self.beams,
            lambdas=self.lambdas,
            exclude=self.exclude,
            deadline_ms=self.deadline_ms,
            max_items=self.max_items,
        )


class LevelScores(BaseModel):
    """What one level thought of the item's code: log p of IAP, log s of RSP."""

    iap_logprob: float
    rsp_logscore: float


class RecommendedItem(BaseModel):
    """An item, its score (sum of the levels'), its codes, coarse to fine, and the levels themselves."""

    item_id: int
    score: float
    sid: list[int]
    levels: list[LevelScores]


class RecommendAnswer(BaseModel):
    """Items best first, from one model and one catalogue.  For OpenAPI."""

    model_version: str
    catalog_version: str
    items: list[RecommendedItem]
    timings_ms: dict[str, float]


def json_of(answer: Recommendation) -> bytes:
    """The answer as JSON of the shape of `RecommendAnswer`."""
    rows = zip(answer.items, answer.iap_logprob.tolist(), answer.rsp_logscore.tolist(), strict=True)
    body = {
        "model_version": answer.model_version,
        "catalog_version": answer.catalog_version,
        "items": [
            {
                "item_id": item.item_id,
                "score": item.score,
                "sid": item.sid,
                "levels": [{"iap_logprob": iap, "rsp_logscore": rsp} for iap, rsp in zip(iaps, rsps, strict=True)],
            }
            for item, iaps, rsps in rows
        ],
        "timings_ms": {stage: round(took_ms, 3) for stage, took_ms in answer.timings_ms.items()},
    }
    return json.dumps(body, separators=(",", ":")).encode()
