"""The body of a retrieve answer, as interfaces between services fix it.  Used by `api`; computes nothing."""

from __future__ import annotations

import json
from typing import Literal, assert_never

from pydantic import BaseModel

from contracts.ids import UserId
from services.gateways.candidate_store.port import ListHead
from services.retrieval.serve_candidates import Fallback, Fresh, Outcome, Stale


class ServedItem(BaseModel):
    """An item; score and sid are null in a fallback."""

    item_id: int
    score: float | None
    sid: list[int] | None


class RetrieveAnswer(BaseModel):
    """A page of the best list there is; what describes the list is null in a fallback.  For OpenAPI."""

    outcome: Literal["fresh", "stale", "fallback"]
    user_id: str
    request_id: str | None
    model_version: str | None
    catalog_version: str | None
    generated_at: int | None
    age_ms: int | None
    items: list[ServedItem]
    next_cursor: str | None


def json_of(user: UserId, outcome: Outcome) -> bytes:
    """The outcome as UTF-8 JSON of the shape of `RetrieveAnswer`."""
    match outcome:
        case Fresh(head, age_ms, items, next_cursor):
            rows = [{"item_id": one.item_id, "score": one.score, "sid": one.sid} for one in items]
            body = _body("fresh", user, head, age_ms) | {"items": rows, "next_cursor": next_cursor}
        case Stale(head, age_ms, items, next_cursor):
            rows = [{"item_id": one.item_id, "score": one.score, "sid": one.sid} for one in items]
            body = _body("stale", user, head, age_ms) | {"items": rows, "next_cursor": next_cursor}
        case Fallback(popular, next_cursor, _):
            nameless = [{"item_id": item, "score": None, "sid": None} for item in popular]
            body = _body("fallback", user, None, None) | {"items": nameless, "next_cursor": next_cursor}
        case _:
            assert_never(outcome)
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _body(name: str, user: UserId, head: ListHead | None, age_ms: int | None) -> dict[str, object]:
    return {
        "outcome": name,
        "user_id": user,
        "request_id": head and head.request_id,
        "model_version": head and head.model_version,
        "catalog_version": head and head.catalog_version,
        "generated_at": head and head.generated_at,
        "age_ms": age_ms,
    }
