"""The Accept header: the best of what is offered, and nothing where all is refused."""

from __future__ import annotations

import pytest

from services.runtime.accept import preferred

OFFERED = ("application/json", "application/vnd.rankgr.recommendation")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", 0),
        ("*/*", 0),
        ("application/*", 0),
        ("application/vnd.rankgr.recommendation", 1),
        ("Application/Vnd.RankGR.Recommendation", 1),
        ("application/vnd.rankgr.recommendation, application/json;q=0.5", 1),
        ("application/vnd.rankgr.recommendation;q=0.4, application/json;q=0.5", 0),
        ("application/vnd.rankgr.recommendation;q=0.4, */*;q=0.1", 1),
        ("application/json;q=0, */*", 1),
        ("text/html, application/xhtml+xml, */*;q=0.8", 0),
        ("application/json;q=many", 0),
        ("application/json; charset=utf-8; q=0.2, application/vnd.rankgr.recommendation;q=0.1", 0),
        (" , ,", 0),
        ("text/html", None),
        ("*/*;q=0", None),
    ],
)
def test_the_best_of_what_is_offered(accept: str, chosen: int | None) -> None:
    assert preferred(accept, OFFERED) == (None if chosen is None else OFFERED[chosen])
