"""Option values that are lists, points in time, or optional ints: text in, typed values out, wrong use exits 2."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import typer

# Digits only: what else Python reads as an int (`1_0`, digits of other scripts) is a slip here.
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)


def integers(text: str, option: str) -> tuple[int, ...]:
    """`12,55,901` as 64-bit integers; an empty text is no integer."""
    if not text.strip():
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(_INTEGER.fullmatch(part) and -(2**63) <= int(part) < 2**63 for part in parts):
        raise typer.BadParameter(f"{text!r} is not a list of 64-bit integers like 12,55,901", param_hint=option)
    return tuple(int(part) for part in parts)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """`0,0.5,1` as numbers from 0 on; an empty text is no number."""
    try:
        found = tuple(float(part) for part in words(text))
    except ValueError:
        found = (-1.0,)
    if not all(0 <= number < math.inf for number in found):
        raise typer.BadParameter(f"{text!r} is not a list of numbers like 0,0.5,1", param_hint=option)
    return found


def words(text: str) -> tuple[str, ...]:
    """`click,purchase` as words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def unix_ms(text: str, option: str) -> int:
    """Unix milliseconds, or an ISO 8601 time (UTC where it names no zone)."""
    if _MILLISECONDS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "is neither Unix milliseconds nor a time like 2026-01-31T18:30"
        raise typer.BadParameter(f"{text!r} {hint}", param_hint=option) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
