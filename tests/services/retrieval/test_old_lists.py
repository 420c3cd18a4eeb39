"""Lists of a model that was replaced are shown until they expire, or for as long as is set."""

from __future__ import annotations

import math

import pytest

from contracts.ids import RequestId
from services.gateways.candidate_store.port import ListHead
from services.retrieval.old_lists import OldLists
from services.runtime.clock import ManualClock


def head(model: str, catalog: str = "c1") -> ListHead:
    return ListHead(
        request_id=RequestId("r"),
        triggered_at=1,
        generated_at=2,
        model_version=model,
        catalog_version=catalog,
        length=1,
    )


@pytest.mark.parametrize(
    ("keep_s", "after_s", "old"), [(math.inf, 1e9, True), (0.0, 0.0, False), (30.0, 29.0, True), (30.0, 30.0, False)]
)
def test_for_as_long_as_is_set(keep_s: float, after_s: float, old: bool) -> None:
    clock = ManualClock()
    rule = OldLists(clock, keep_s)
    assert rule.may_serve(head("m0")), "nothing is known yet"
    rule.serves("latest", "m1", "c1")
    rule.serves("latest", "m2", "c2")
    clock.advance(after_s)
    assert rule.may_serve(head("m1")) is old
    assert rule.may_serve(head("m2", "c1")) is old
    assert rule.may_serve(head("m2", "c2"))


def test_a_canary_s_lists_count_as_well() -> None:
    rule = OldLists(ManualClock(), 0.0)
    rule.serves("latest", "m1", "c1")
    rule.serves("canary", "m2", "c1")
    assert rule.may_serve(head("m1"))
    assert rule.may_serve(head("m2"))
    assert not rule.may_serve(head("m0"))
