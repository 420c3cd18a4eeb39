"""The three forms of an answer say the same, and Accept chooses among them."""

from __future__ import annotations

import json
from struct import Struct, unpack_from
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import INT64_MAX, INT64_MIN, ItemId, RequestId, UserId
from services.gateways.candidate_store.port import ListHead
from services.gateways.candidate_store.records import Records, record_of
from services.retrieval.answer import json_of, msgpack_of
from services.retrieval.formats import Format, format_of
from services.retrieval.packed_answer import packed_of
from services.retrieval.serve_candidates import Fallback, Fresh, Outcome, Reason, Stale

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
item_ids = st.integers(INT64_MIN, INT64_MAX)
scores = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def listed(draw: st.DrawFn) -> Outcome:
    levels, code_size = draw(st.integers(1, 4)), draw(st.sampled_from([2, 4]))
    codes = st.lists(st.integers(0, 2 ** (8 * code_size) - 1), min_size=levels, max_size=levels)
    rows = draw(st.lists(st.tuples(item_ids, scores, codes), max_size=12))
    data = b"".join(record_of(levels, code_size).pack(item, score, *sid) for item, score, sid in rows)
    times = st.integers(0, 2**53 - 1)
    head = ListHead(RequestId(draw(texts)), draw(times), draw(times), draw(texts), draw(texts), len(rows))
    age_ms, cursor = draw(st.integers(0, 2**40)), draw(st.none() | texts)
    records = Records(data, levels, code_size)
    if draw(st.booleans()):
        return Fresh(head, "1-2", "0", age_ms, records, cursor)
    return Stale(head, "1-2", "0", age_ms, records, cursor)


fallbacks = st.builds(
    lambda items, cursor: Fallback(tuple(map(ItemId, items)), cursor, Reason.NO_LIST),
    st.lists(item_ids, max_size=12),
    st.none() | texts,
)


def plain(user: str, outcome: Outcome) -> dict[str, Any]:
    """The answer as interfaces between services fix it, written out."""
    if isinstance(outcome, Fallback):
        head = dict.fromkeys(("request_id", "model_version", "catalog_version", "generated_at", "age_ms"))
        items = [{"item_id": item, "score": None, "sid": None} for item in outcome.items]
        return {"outcome": "fallback", "user_id": user, **head, "items": items, "next_cursor": outcome.next_cursor}
    return {
        "outcome": "fresh" if isinstance(outcome, Fresh) else "stale",
        "user_id": user,
        "request_id": outcome.head.request_id,
        "model_version": outcome.head.model_version,
        "catalog_version": outcome.head.catalog_version,
        "generated_at": outcome.head.generated_at,
        "age_ms": outcome.age_ms,
        "items": [{"item_id": one.item_id, "score": one.score, "sid": list(one.sid)} for one in outcome.items],
        "next_cursor": outcome.next_cursor,
    }


def unpacked(data: bytes) -> dict[str, Any]:
    """A reader of the packed form, written from docs/http.md."""
    magic, form, outcome, levels, code_size, size, record_size, count, made, age, *lengths = unpack_from(
        "<4sBBBBHHIqqHHHHH", data
    )
    assert (magic, form) == (b"RGRa", 1)
    assert size % 8 == 0
    assert len(data) == size + count * record_size
    found, at = [], 42
    for length in lengths:
        found.append(data[at : at + length].decode() or None)
        at += length
    assert data[at:size] == b"\0" * (size - at)
    row = Struct("<q" if outcome == 2 else f"<qf{levels}{'H' if code_size == 2 else 'I'}")
    assert row.size == record_size
    items = []
    for item, *rest in row.iter_unpack(data[size:]):
        score, sid = (rest[0], rest[1:]) if rest else (None, None)
        items.append({"item_id": item, "score": score, "sid": sid})
    user, request, model, catalog, cursor = found
    return {
        "outcome": ("fresh", "stale", "fallback")[outcome],
        "user_id": user,
        "request_id": request,
        "model_version": model,
        "catalog_version": catalog,
        "generated_at": None if made == -1 else made,
        "age_ms": None if age == -1 else age,
        "items": items,
        "next_cursor": cursor,
    }


@given(texts, listed() | fallbacks)
def test_every_form_says_the_same(user: str, outcome: Outcome) -> None:
    said = plain(user, outcome)
    name = UserId(user)
    assert json.loads(json_of(name, outcome)) == said
    assert msgspec.msgpack.decode(msgpack_of(name, outcome)) == said
    assert unpacked(packed_of(name, outcome)) == said


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (b"", Format.JSON),
        (b"*/*", Format.JSON),
        (b"text/html", Format.JSON),
        (b"application/json", Format.JSON),
        (b"application/msgpack", Format.MSGPACK),
        (b"Application/X-MsgPack", Format.MSGPACK),
        (b"application/vnd.rankgr.packed", Format.PACKED),
        (b"application/json;q=0.5, application/vnd.rankgr.packed", Format.PACKED),
        (b"application/vnd.rankgr.packed;q=0.1,application/msgpack;q=0.2", Format.MSGPACK),
        (b"application/vnd.rankgr.packed;q=0, */*", Format.JSON),
        (b"application/msgpack;q=x", Format.MSGPACK),
        (b"\xff,;=;q", Format.JSON),
    ],
)
def test_accept_chooses_the_form(accept: bytes, form: Format) -> None:
    assert format_of(accept) is form
