"""Paging cursors: where in which list a user's next page begins.

Made and read by `serve_candidates`.  A cursor holds no secret: its tag finds damage and mix-ups, not forgers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadCursor
from contracts.ids import UserId

FORMAT = b"\x01"
TAG_BYTES = 8
MAX_CURSOR_CHARACTERS = 512
MAX_OFFSET = 2**31


@dataclass(frozen=True, slots=True)
class ListCursor:
    """The next page of the stored list with this version starts at `offset`."""

    version: str
    offset: int


@dataclass(frozen=True, slots=True)
class FallbackCursor:
    """The next page of the scene's popular list starts at `offset`."""

    scene: str | None
    offset: int


Cursor = ListCursor | FallbackCursor

_Offset = Annotated[int, Field(strict=True, ge=0, lt=MAX_OFFSET)]


class _Written(BaseModel):
    """What a cursor says inside; `of` is the list's version, or the scene of a fallback list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["list", "fallback"]
    of: str | None
    at: _Offset


def write_cursor(user: UserId, cursor: Cursor) -> str:
    """The cursor as URL-safe text, bound to this user."""
    match cursor:
        case ListCursor(version, offset):
            inside = {"kind": "list", "of": version, "at": offset}
        case FallbackCursor(scene, offset):
            inside = {"kind": "fallback", "of": scene, "at": offset}
    payload = FORMAT + json.dumps(inside, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_tag(user, payload) + payload).rstrip(b"=").decode()


def read_cursor(user: UserId, text: str) -> Cursor:
    """The cursor again.  Raises BadCursor when it is damaged, of another format or another user's."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursor("cursor: not one that this service made") from error
    tag, payload = raw[:TAG_BYTES], raw[TAG_BYTES:]
    if tag != _tag(user, payload):
        raise BadCursor("cursor: damaged, or made for another user")
    if payload[:1] != FORMAT:
        raise BadCursor("cursor: of a format that this service does not know")
    try:
        inside = _Written.model_validate_json(payload[1:])
    except ValidationError as error:
        raise BadCursor("cursor: of a format that this service does not know") from error
    if inside.kind == "fallback":
        return FallbackCursor(inside.of, inside.at)
    if inside.of is None:
        raise BadCursor("cursor: names no list")
    return ListCursor(inside.of, inside.at)


def _tag(user: UserId, payload: bytes) -> bytes:
    return hashlib.blake2b(
        payload, digest_size=TAG_BYTES, key=hashlib.blake2b(user.encode(), digest_size=32).digest()
    ).digest()
