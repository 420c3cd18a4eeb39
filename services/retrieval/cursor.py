"""Paging cursors: where in which list a user's next page begins.

Made and read by `serve_candidates`.  A cursor holds no secret: its tag finds damage and mix-ups, not forgers.

    tag     8 bytes of BLAKE2b over the rest and the user's id
    format  2
    kind    0: the list of a version, 1: a scene's popular list, 2: the popular list of no scene
    offset  uint32, little endian
    of      the version; or 4 bytes of BLAKE2b over the version of the popular lists, then the scene in UTF-8
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from hashlib import blake2b
from struct import Struct

import msgspec

from contracts.errors import BadCursor
from contracts.ids import UserId

FORMAT = 2
TAG_BYTES = 8
LISTS_BYTES = 4
MAX_CURSOR_CHARACTERS = 512
MAX_OFFSET = 2**31

_FIXED = Struct("<BBI")
# base64.urlsafe_b64encode without its detours: every first page has a cursor.
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_LIST, _SCENE, _NO_SCENE = range(3)


class ListCursor(msgspec.Struct, frozen=True, gc=False):
    """The next page of the stored list with this version starts at `offset`."""

    version: str
    offset: int


class FallbackCursor(msgspec.Struct, frozen=True, gc=False):
    """The next page of the scene's popular list starts at `offset`; `lists` is `lists_mark` of the popular lists."""

    scene: str | None
    offset: int
    lists: bytes


Cursor = ListCursor | FallbackCursor


def write_cursor(user: UserId, cursor: Cursor) -> str:
    """The cursor as URL-safe text, bound to this user."""
    match cursor:
        case ListCursor(version, offset):
            payload = _FIXED.pack(FORMAT, _LIST, offset) + version.encode()
        case FallbackCursor(None, offset, lists):
            payload = _FIXED.pack(FORMAT, _NO_SCENE, offset) + lists
        case FallbackCursor(scene, offset, lists):
            payload = _FIXED.pack(FORMAT, _SCENE, offset) + lists + str(scene).encode()
    # Without padding: what ends in "=" is not kept whole by every client.
    text = binascii.b2a_base64(_tag(user, payload) + payload, newline=False)
    return text.translate(_URL_SAFE).rstrip(b"=").decode()


def read_cursor(user: UserId, text: str) -> Cursor:
    """The cursor again.  Raises BadCursor when it is damaged, of another format or another user's."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursor("cursor: not one that this service made") from error
    tag, payload = raw[:TAG_BYTES], raw[TAG_BYTES:]
    if tag != _tag(user, payload):
        raise BadCursor("cursor: damaged, or made for another user")
    try:
        return _read_payload(payload)
    except ValueError as error:
        raise BadCursor("cursor: of a format that this service does not know") from error


def _read_payload(payload: bytes) -> Cursor:
    if len(payload) < _FIXED.size:
        raise ValueError("too short")
    form, kind, offset = _FIXED.unpack_from(payload)
    of = payload[_FIXED.size :]
    if form != FORMAT or kind not in (_LIST, _SCENE, _NO_SCENE) or offset >= MAX_OFFSET:
        raise ValueError("unknown")
    if kind == _LIST:
        return ListCursor(of.decode(), offset)
    lists, scene = of[:LISTS_BYTES], of[LISTS_BYTES:].decode()
    return FallbackCursor(None if kind == _NO_SCENE else scene, offset, lists)


@lru_cache(maxsize=4)
def lists_mark(version: str) -> bytes:
    """By what a cursor tells popular lists of one version from those of another."""
    return blake2b(version.encode(), digest_size=LISTS_BYTES).digest()


def _tag(user: UserId, payload: bytes) -> bytes:
    # No id holds NUL: where it ends is plain.
    return blake2b(user.encode() + b"\0" + payload, digest_size=TAG_BYTES).digest()
