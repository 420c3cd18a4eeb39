"""A log that is replayed gives the sessions that its readers find, with what had happened before each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.data_set import DataSet, read_data_set
from model.data.earlier import earlier
from model.data.log import Split
from model.sessions.rules import JoinRules
from model.training.incremental.log_in_time import samples_in_time

RULES = JoinRules()


@pytest.fixture(scope="module")
def data(micro_data: Path) -> DataSet:
    return read_data_set(micro_data)


def test_every_request_comes_once_with_its_items_levels_and_history(data: DataSet) -> None:
    log, seen = data.log, set()
    newest = 0
    for sample in samples_in_time(log, RULES):
        assert sample.request_id is not None
        request = int(sample.request_id)
        assert request not in seen
        seen.add(request)
        own_E = np.flatnonzero((log.session == request) & (log.level > 0))
        shown_E = own_E[log.level[own_E] > Level.PSEUDO_EXPOSURE]
        began = int(log.timestamp[own_E].min())
        # Requests come in the order of their ends.
        assert began >= newest
        newest = began
        assert sample.requested_at == began * 1000
        assert sample.user_id == log.users[log.user[own_E[0]]]
        level_of: dict[int, int] = {}
        for row in shown_E.tolist():
            item = int(log.item[row])
            level_of[item] = max(level_of.get(item, 0), int(log.level[row]))
        told = dict(zip(sample.item_ids, map(int, sample.levels), strict=True))
        pseudo = {item for item, level in told.items() if level == Level.PSEUDO_EXPOSURE}
        assert {item: level for item, level in told.items() if item not in pseudo} == level_of
        assert pseudo <= set(log.item[own_E[log.level[own_E] == Level.PSEUDO_EXPOSURE]].tolist())
        before_E = (log.user == log.user[own_E[0]]) & (log.timestamp < began) & (log.level >= Level.CLICK)
        assert sorted(sample.history_item_ids) == sorted(log.item[before_E].tolist()[-RULES.history_items :])
        assert sample.scene == log.scenes[log.scene[own_E[0]]]
        assert sample.device == log.devices[log.device[own_E[0]]]
    assert len(seen) == len(np.unique(log.session[log.level > Level.PSEUDO_EXPOSURE]))


def test_what_came_before_the_beginning_is_history_alone(data: DataSet) -> None:
    middle = int(np.median(data.log.timestamp))
    late = list(samples_in_time(data.log, RULES, middle * 1000))
    whole = {sample.sample_id: sample for sample in samples_in_time(data.log, RULES)}
    assert 0 < len(late) < len(whole)
    assert all(sample.requested_at >= middle * 1000 and sample == whole[sample.sample_id] for sample in late)


def test_the_past_of_a_log_ends_before_the_moment_and_holds_out_its_own_last_requests(data: DataSet) -> None:
    middle = int(np.median(data.log.timestamp))
    past = earlier(data, middle)
    assert past.log.timestamp.max() < middle
    assert len(past.log.item) == int((data.log.timestamp < middle).sum())
    assert (past.log.split == Split.TEST).any()
    assert np.unique(past.log.session).tolist() == list(range(int(past.log.session.max()) + 1))
    assert past.items is data.items
    with pytest.raises(BadDataSet, match="nothing before"):
        earlier(data, int(data.log.timestamp.min()))


def test_a_log_without_times_is_refused(data: DataSet) -> None:
    timeless = dataclasses.replace(data, log=dataclasses.replace(data.log, clock=False))
    with pytest.raises(BadDataSet, match="no Unix seconds"):
        next(samples_in_time(timeless.log, RULES))
    with pytest.raises(BadDataSet, match="no times"):
        earlier(timeless, 5)
