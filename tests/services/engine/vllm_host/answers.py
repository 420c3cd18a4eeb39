"""When two lists are the same: sets and scores agree, near-ties at the cut or in the order may swap."""

from __future__ import annotations

import numpy as np

from model.decoding.request import DecodeResult


def assert_same_list(found: DecodeResult, expected: DecodeResult, within: float = 1e-5) -> None:
    """Items of one list alone must tie with the other's worst; shared ones have equal scores and codes."""
    assert len(found.item_id) == len(expected.item_id)
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=within)
    mine = {item: place for place, item in enumerate(found.item_id.tolist())}
    theirs = {item: place for place, item in enumerate(expected.item_id.tolist())}
    assert len(mine) == len(found.item_id), "an item stands in the list twice"
    for one, other, only in ((found, expected, set(mine) - set(theirs)), (expected, found, set(theirs) - set(mine))):
        for item in only:
            score = one.score[one.item_id == item][0]
            assert abs(score - other.score.min()) < within, "an item is missing that is no near-tie at the cut"
    if not len(found.item_id):
        assert found.codes.shape == expected.codes.shape
    both = sorted(set(mine) & set(theirs))
    here, there = [mine[item] for item in both], [theirs[item] for item in both]
    assert found.codes[here].tolist() == expected.codes[there].tolist()
    for name in ("score", "iap_logprob", "rsp_logscore"):
        np.testing.assert_allclose(getattr(found, name)[here], getattr(expected, name)[there], rtol=0, atol=within)


def overlap(found: DecodeResult, expected: DecodeResult) -> float:
    """Share of the expected items that were found."""
    return len(set(found.item_id.tolist()) & set(expected.item_id.tolist())) / len(expected.item_id)
