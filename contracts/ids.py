"""Identifiers that cross process borders, and the one place that says what a valid one is."""

from __future__ import annotations

from typing import Annotated, NewType

from pydantic import AfterValidator, Field, StringConstraints

MAX_ID_CHARACTERS = 128
MAX_SCENE_CHARACTERS = 64
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def _without_nul(text: str) -> str:
    """Refuse NUL and lone surrogates: the first ends a C string, the second has no UTF-8 form."""
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return text


UserId = NewType("UserId", str)
RequestId = NewType("RequestId", str)
EventId = NewType("EventId", str)
ItemId = NewType("ItemId", int)

_TEXT_ID = (StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS), AfterValidator(_without_nul))

# The same names with their checks, for pydantic models: 1 to 128 code points, kept as they came (no normalisation).
UserIdField = Annotated[UserId, *_TEXT_ID]
RequestIdField = Annotated[RequestId, *_TEXT_ID]
EventIdField = Annotated[EventId, *_TEXT_ID]
ItemIdField = Annotated[ItemId, Field(strict=True, ge=INT64_MIN, le=INT64_MAX)]
TimestampMs = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
"""Unix milliseconds; below 2**53, so that a JSON reader in floating point keeps it exact."""
