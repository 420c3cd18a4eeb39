"""A cursor comes back as it was written, for its user alone."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadCursor
from contracts.ids import UserId
from services.retrieval.cursor import (
    LISTS_BYTES,
    MAX_CURSOR_CHARACTERS,
    MAX_OFFSET,
    Cursor,
    FallbackCursor,
    ListCursor,
    read_cursor,
    write_cursor,
)

users = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
offsets = st.integers(0, MAX_OFFSET - 1)
scenes = st.none() | st.text(st.characters(codec="utf-8"), max_size=64)
cursors = st.builds(ListCursor, st.from_regex(r"[0-9a-f]{1,14}-[0-9a-f]{1,14}", fullmatch=True), offsets) | st.builds(
    FallbackCursor, scenes, offsets, st.binary(min_size=LISTS_BYTES, max_size=LISTS_BYTES)
)


@given(users, cursors)
def test_what_was_written_is_read_again(user: str, cursor: Cursor) -> None:
    text = write_cursor(UserId(user), cursor)
    assert read_cursor(UserId(user), text) == cursor
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(text) <= MAX_CURSOR_CHARACTERS


@given(users, users, cursors)
def test_another_user_s_cursor_is_refused(user: str, other: str, cursor: Cursor) -> None:
    if user != other:
        with pytest.raises(BadCursor):
            read_cursor(UserId(other), write_cursor(UserId(user), cursor))


@given(cursors, st.data())
def test_any_flipped_bit_is_noticed(cursor: Cursor, data: st.DataObject) -> None:
    text = write_cursor(UserId("u"), cursor)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    with pytest.raises(BadCursor):
        read_cursor(UserId("u"), base64.urlsafe_b64encode(raw).decode().rstrip("="))


@given(st.text(max_size=300))
def test_any_text_is_a_cursor_or_a_bad_one(text: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(UserId("u"), text)
