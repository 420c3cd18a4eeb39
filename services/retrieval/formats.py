"""The three forms of a retrieve answer, and which one an Accept header asks for."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache


class Format(StrEnum):
    """A media type that retrieve speaks."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"
    PACKED = "application/vnd.rankgr.packed"


_KNOWN: dict[str, Format] = {
    "application/json": Format.JSON,
    "application/*": Format.JSON,
    "*/*": Format.JSON,
    "application/msgpack": Format.MSGPACK,
    "application/x-msgpack": Format.MSGPACK,
    "application/vnd.msgpack": Format.MSGPACK,
    "application/vnd.rankgr.packed": Format.PACKED,
}


@lru_cache(maxsize=256)
def format_of(accept: bytes) -> Format:
    """The known type that is wanted most; of equals the first.  JSON where none is known."""
    best, best_weight = Format.JSON, 0.0
    for wish in accept.decode("latin-1").split(","):
        kind, *parameters = (part.strip().lower() for part in wish.split(";"))
        found, weight = _KNOWN.get(kind), _weight(parameters)
        if found is not None and weight > best_weight:
            best, best_weight = found, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
