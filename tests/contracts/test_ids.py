"""What a valid id is, at its edges: 1 to 128 code points of any text, 64-bit items, exact timestamps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.ids import INT64_MAX, INT64_MIN, ItemId, ItemIdField, TimestampMs, UserId, UserIdField

USER: TypeAdapter[UserId] = TypeAdapter(UserIdField)
ITEM: TypeAdapter[ItemId] = TypeAdapter(ItemIdField)
TIME: TypeAdapter[int] = TypeAdapter(TimestampMs)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=128))
def test_any_text_is_a_user_id_and_is_kept_as_it_came(text: str) -> None:
    assert USER.validate_python(text) == text


@pytest.mark.parametrize(
    "text", [" ", "/", "a/b", "%2F", "{}", "e\u0301", "\u00e9", "\n", "x" * 128, "\U0001f600" * 128]
)
def test_odd_but_valid_user_ids(text: str) -> None:
    assert USER.validate_python(text) == text


@pytest.mark.parametrize("text", ["", "x" * 129, "a\0b", "\ud800", 42, None, ["x"]])
def test_no_user_ids(text: object) -> None:
    with pytest.raises(ValidationError):
        USER.validate_python(text)


@pytest.mark.parametrize("item", [INT64_MIN, -1, 0, INT64_MAX])
def test_items_are_64_bit_integers(item: int) -> None:
    assert ITEM.validate_json(str(item)) == item


@pytest.mark.parametrize("item", [INT64_MIN - 1, INT64_MAX + 1, 1.0, 1.5, "7", True, None])
def test_no_items(item: object) -> None:
    with pytest.raises(ValidationError):
        ITEM.validate_python(item)


@pytest.mark.parametrize("time", [0, 1_763_769_600_123, 2**53 - 1])
def test_timestamps_are_exact_milliseconds(time: int) -> None:
    assert TIME.validate_python(time) == time


@pytest.mark.parametrize("time", [-1, 2**53, 1.0, "1763769600123", True])
def test_no_timestamps(time: object) -> None:
    with pytest.raises(ValidationError):
        TIME.validate_python(time)
