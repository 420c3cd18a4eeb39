"""The three forms of a retrieve answer, and which one an Accept header asks for."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from services.runtime.accept import preferred


class Format(StrEnum):
    """A media type that retrieve speaks."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"
    PACKED = "application/vnd.rankgr.packed"


_OFFERED: dict[str, Format] = {
    "application/json": Format.JSON,
    "application/msgpack": Format.MSGPACK,
    "application/x-msgpack": Format.MSGPACK,
    "application/vnd.msgpack": Format.MSGPACK,
    "application/vnd.rankgr.packed": Format.PACKED,
}
_NAMES = tuple(_OFFERED)


@lru_cache(maxsize=256)
def format_of(accept: bytes) -> Format:
    """The type that is wanted most; JSON where none of ours is wanted."""
    found = preferred(accept.decode("latin-1"), _NAMES)
    return Format.JSON if found is None else _OFFERED[found]
