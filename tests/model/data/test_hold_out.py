"""Lending the last training request: the later rows, never all of a user's, and only where no validation is."""

from __future__ import annotations

import dataclasses

import numpy as np

from model.data.data_set import DataSet
from model.data.hold_out import hold_out_last
from model.data.log import Split
from model.data.synthetic import make_marketplace


def market(*, valid: bool) -> DataSet:
    data = make_marketplace(users=30, items=60, seed=0)
    if valid:
        return data
    split = np.where(data.log.split == Split.VALID, np.int8(Split.TRAIN), data.log.split).astype(np.int8)
    return dataclasses.replace(data, log=dataclasses.replace(data.log, split=split))


def test_each_users_last_training_request_is_lent() -> None:
    before, after = market(valid=False).log, hold_out_last(market(valid=False)).log
    for user in range(len(before.users)):
        own = before.user == user
        requests = np.unique(before.session[own & (before.split == Split.TRAIN) & (before.level > 0)])
        lent = np.unique(after.session[own & (after.split == Split.VALID)])
        assert lent.tolist() == (requests[-1:].tolist() if len(requests) > 1 else [])
    np.testing.assert_array_equal(after.split == Split.TEST, before.split == Split.TEST)


def test_a_log_with_a_validation_stays_as_it_is() -> None:
    data = market(valid=True)
    assert hold_out_last(data) is data
