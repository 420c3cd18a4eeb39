"""The body of a retrieve answer as JSON and as MessagePack, of the shape that interfaces between services fix.

Used by `api`; computes nothing.  The packed form is in `packed_answer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Literal

import msgspec
from pydantic import BaseModel

from contracts.ids import UserId
from services.gateways.candidate_store.records import Records
from services.retrieval.serve_candidates import Fallback, Fresh, Outcome, Stale

OUTCOME_NAMES: dict[type[Outcome], Literal["fresh", "stale", "fallback"]] = {
    Fresh: "fresh",
    Stale: "stale",
    Fallback: "fallback",
}


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


class _Row(msgspec.Struct, gc=False):
    item_id: int
    score: float | None
    sid: tuple[int, ...] | None


class _Body(msgspec.Struct, frozen=True, gc=False):
    outcome: str
    user_id: str
    request_id: str | None
    model_version: str | None
    catalog_version: str | None
    generated_at: int | None
    age_ms: int | None
    items: list[_Row]
    next_cursor: str | None


_NO_SCORES: Iterator[None] = repeat(None)
_NO_SIDS: Iterator[None] = repeat(None)
_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()


def json_of(user: UserId, outcome: Outcome) -> bytes:
    """The outcome as UTF-8 JSON of the shape of `RetrieveAnswer`."""
    return _JSON.encode(_body(user, outcome))


def msgpack_of(user: UserId, outcome: Outcome) -> bytes:
    """The same as MessagePack."""
    return _MSGPACK.encode(_body(user, outcome))


def _body(user: UserId, outcome: Outcome) -> _Body:
    name = OUTCOME_NAMES[type(outcome)]
    if isinstance(outcome, Fallback):
        rows = list(map(_Row, outcome.items, _NO_SCORES, _NO_SIDS))
        return _Body(name, user, None, None, None, None, None, rows, outcome.next_cursor)
    head = outcome.head
    return _Body(
        name,
        user,
        head.request_id,
        head.model_version,
        head.catalog_version,
        head.generated_at,
        outcome.age_ms,
        _rows(outcome.records),
        outcome.next_cursor,
    )


def _rows(records: Records) -> list[_Row]:
    """Column by column: no line of Python runs per item, which would be most of a page's time."""
    flat, step = records.flat(), records.levels + 2
    codes = zip(*[flat[place::step] for place in range(2, step)], strict=True)
    return list(map(_Row, flat[0::step], flat[1::step], codes))
