"""Option values: lists of integers and points in time, and what is refused as one."""

from __future__ import annotations

import pytest
import typer

from services.cli.parse import integers, unix_ms, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), (" ", ()), ("7", (7,)), ("12, 55 ,-901", (12, 55, -901)), (str(2**63 - 1), (2**63 - 1,))],
)
def test_a_list_of_integers_is_read(text: str, expected: tuple[int, ...]) -> None:
    assert integers(text, "--items") == expected


@pytest.mark.parametrize("text", ["1,", ",", "1.0", "one", "1_0", "²", "\u0661", "+1", str(2**63), str(-(2**63) - 1)])
def test_what_is_no_list_of_integers_is_wrong_use(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="64-bit integers"):
        integers(text, "--items")


def test_words_lose_their_blanks() -> None:
    assert words("click, purchase ,") == ("click", "purchase")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1769902200000", 1769902200000),
        ("2026-01-31T23:30", 1769902200000),
        ("2026-02-01T00:30+01:00", 1769902200000),
        ("1970-01-01", 0),
    ],
)
def test_a_point_in_time_is_read_as_utc_where_it_names_no_zone(text: str, expected: int) -> None:
    assert unix_ms(text, "--at") == expected
