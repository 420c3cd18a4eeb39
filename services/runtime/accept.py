"""Which of the forms that a route offers a client wants, by the request's `Accept` header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str | None:
    """The offered media type with the greatest quality, the first of equals; None where all are refused.

    The most specific range that fits a type decides about it.  An empty header takes the first; what is no
    quality counts as 1, so that a sloppy client gets an answer.
    """
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    if not ranges:
        return offered[0]
    qualities = [_quality(media_type, ranges) for media_type in offered]
    best = max(qualities)
    return offered[qualities.index(best)] if best > 0 else None


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    whole = f"{media_type.split('/')[0]}/*"
    for fitting in (media_type, whole, "*/*"):
        found = [quality for name, quality in ranges if name == fitting]
        if found:
            return max(found)
    return 0.0
