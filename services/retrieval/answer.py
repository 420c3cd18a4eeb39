"""The body of a retrieve answer as JSON and as MessagePack, of the shape that interfaces between services fix.

Used by `api`; computes nothing.  The packed form is in `packed_answer`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec
from pydantic import BaseModel

from contracts.ids import ItemId, UserId
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


class _Row(msgspec.Struct, frozen=True, gc=False):
    item_id: int
    score: float | None
    sid: tuple[int, ...] | None


class _Body(msgspec.Struct, frozen=True, gc=False):
    """`items` are rows, or JSON already."""

    outcome: str
    user_id: str
    request_id: str | None
    model_version: str | None
    catalog_version: str | None
    generated_at: int | None
    age_ms: int | None
    items: msgspec.Raw | list[_Row]
    next_cursor: str | None


_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()


def json_of(user: UserId, outcome: Outcome) -> bytes:
    """The outcome as UTF-8 JSON of the shape of `RetrieveAnswer`."""
    if isinstance(outcome, Fallback):
        return _JSON.encode(_body(user, outcome, msgspec.Raw(_popular_json(outcome.items))))
    return _JSON.encode(_body(user, outcome, msgspec.Raw(_items_json(outcome.records))))


def msgpack_of(user: UserId, outcome: Outcome) -> bytes:
    """The same as MessagePack."""
    if isinstance(outcome, Fallback):
        rows = [_Row(item, None, None) for item in outcome.items]
    else:
        rows = [_Row(one.item_id, one.score, one.sid) for one in outcome.records.candidates()]
    return _MSGPACK.encode(_body(user, outcome, rows))


def _body(user: UserId, outcome: Outcome, items: msgspec.Raw | list[_Row]) -> _Body:
    name = OUTCOME_NAMES[type(outcome)]
    if isinstance(outcome, Fallback):
        return _Body(name, user, None, None, None, None, None, items, outcome.next_cursor)
    head = outcome.head
    return _Body(
        name,
        user,
        head.request_id,
        head.model_version,
        head.catalog_version,
        head.generated_at,
        outcome.age_ms,
        items,
        outcome.next_cursor,
    )


# A row object per item would cost most of a page's time: all numbers are written by one call of the encoder, and
# fall into their places by one more.


def _items_json(records: Records) -> bytes:
    numbers = _JSON.encode(records.flat())[1:-1]
    return _template(len(records), records.levels) % tuple(numbers.split(b",")) if numbers else b"[]"


def _popular_json(items: tuple[ItemId, ...]) -> bytes:
    numbers = _JSON.encode(items)[1:-1]
    return _popular_template(len(items)) % tuple(numbers.split(b",")) if numbers else b"[]"


@lru_cache(maxsize=128)
def _template(count: int, levels: int) -> bytes:
    codes = b",".join([b"%b"] * levels)
    return b"[" + b",".join([b'{"item_id":%b,"score":%b,"sid":[' + codes + b"]}"] * count) + b"]"


@lru_cache(maxsize=128)
def _popular_template(count: int) -> bytes:
    return b"[" + b",".join([b'{"item_id":%b,"score":null,"sid":null}'] * count) + b"]"
