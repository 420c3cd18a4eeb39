"""The short way to read a request reads what it takes just as the long way does."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.query import read_plain, read_query, read_user_id
from services.retrieval.serve_candidates import PageAsked

values = st.sampled_from(
    ["1", "50", "1400", "1401", "0", "007", "-1", "5000", "99999", "a", "r-1", "\u00b2", "+", "%31", ""]
)
names = st.sampled_from(["limit", "wait_ms", "request_id", "scene", "cursor", "exclude", "max_age_s", "other", ""])
fields = st.builds(
    lambda name, value, mark: f"{name}{mark}{value}", names, values | st.text(max_size=5), st.sampled_from("===")
)
queries = st.lists(fields, max_size=4).map("&".join) | st.text(max_size=12)
users = st.from_regex(r"[A-Za-z0-9_.~:@%/ -]{0,8}", fullmatch=True) | st.text(max_size=5)


def long_way(segment: bytes, raw: bytes) -> PageAsked | None:
    try:
        return read_query(raw).asked(read_user_id(segment), 900.0)
    except RequestValidationError:
        return None


@given(users, queries)
def test_what_the_short_way_takes_it_reads_as_the_long_way_does(user: str, query: str) -> None:
    segment, raw = user.encode(), query.encode()
    taken = read_plain(segment, raw, 900.0)
    assert taken is None or taken == long_way(segment, raw)


@pytest.mark.parametrize(
    "query", ["", "limit=50", "limit=50&request_id=r-1&wait_ms=80", "scene=home&limit=1400", "cursor=AAAA_b-c"]
)
def test_what_nearly_everybody_sends_goes_the_short_way(query: str) -> None:
    assert read_plain(b"42", query.encode(), 900.0) is not None
