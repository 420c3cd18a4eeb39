"""A sample from the stream becomes what training from a log, and serving, would make of the same session."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from contracts.behaviors import Level
from contracts.messages import SessionSampled
from model.data.timelines import RequestCircumstances, Session, Timeline
from model.prompt import PromptContext, prompt_from_history
from model.training.config import LossConfig, SampleConfig
from model.training.incremental.packed_samples import batch_of
from model.training.incremental.stream_sample import StreamSample, newest_of_each_user
from model.training.packing import pack
from model.training.samples import draw_samples
from model.training.session_table import SessionTable

from ..toys import Toy
from .sampled import message, sample

CONFIG = SampleConfig(targets=3, row_sessions=1)


def from_a_log(told: SessionSampled) -> Timeline:
    """The session as a log's reader finds it: what came after the request stands in the user's timeline too."""
    later = [3, 4]
    items = np.array([*told.history_item_ids, *later])
    levels = np.array([*told.history_levels, Level.CLICK, Level.CLICK], np.int8)
    of = RequestCircumstances(told.scene, told.requested_at // 1000, told.device)
    session = Session(len(told.history_item_ids), np.array(told.item_ids), np.array(told.levels, np.int8), of)
    return Timeline(told.user_id, items, levels, np.arange(len(items)), (session,))


@pytest.mark.parametrize("sizes", [(16,), (4, 5), (3, 4, 3)], ids=["m=1", "m=2", "m=3"])
@pytest.mark.parametrize("layout", ["items", "items_behaviors"])
def test_a_sample_is_packed_as_the_log_s_session_is(sizes: tuple[int, ...], layout: str) -> None:
    toy = Toy(sizes, layout, room=4)
    told = [message(number) for number in range(30)]
    seed = 3
    made = batch_of(
        [StreamSample.of(one) for one in told], toy.fmt, toy.catalog, CONFIG, LossConfig(), np.random.default_rng(seed)
    )
    assert made.batch is not None
    table = SessionTable.of([from_a_log(one) for one in told], toy.fmt, toy.catalog)
    drawn = draw_samples(table, toy.fmt, toy.catalog, CONFIG, np.random.default_rng(seed))
    theirs = pack(drawn, np.arange(len(drawn)), toy.fmt, made.batch.asked)
    ours = made.batch.packed(toy.fmt)
    for field in dataclasses.fields(theirs):
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert torch.equal(mine, other) if isinstance(mine, torch.Tensor) else mine == other, field.name
    assert torch.equal(ours.mask(), theirs.mask())
    # Cuts, padding, and samples that teach nothing: the scenario is worth its name.
    assert 5 < len(made.used) < len(told)
    assert len({int(visible) for visible in ours.visible_N}) > 2


def test_its_prompt_is_the_one_that_serving_builds() -> None:
    toy = Toy(room=4)
    told = [message(number) for number in range(20)]
    samples = [StreamSample.of(one) for one in told]
    made = batch_of(samples, toy.fmt, toy.catalog, CONFIG, LossConfig(), np.random.default_rng(0))
    assert made.batch is not None
    rows = list(made.batch.samples.rows())
    assert len(rows) == len(made.used)
    for row, number in zip(rows, sorted(made.used), strict=True):
        one = told[number]
        context = PromptContext.at(one.requested_at, one.scene, one.device)
        levels = [int(level) for level in one.history_levels]
        served = prompt_from_history(toy.fmt, toy.catalog, one.history_item_ids, levels, context)
        [session] = row.sessions
        trained = np.concatenate([row.history_L[: session.visible], session.context_C])
        assert trained.tolist() == served.tokens.tolist()


def test_what_the_catalogue_does_not_know_is_left_out_and_counted() -> None:
    toy = Toy()
    unknown = sample(1, items=4)
    known = [item for item in range(1, 20) if item not in unknown.items_K.tolist()]
    smaller = dataclasses.replace(toy, items=12)
    made = batch_of([unknown], smaller.fmt, smaller.catalog, CONFIG, LossConfig(), np.random.default_rng(0))
    assert made.unknown_items == 0
    assert known
    nothing = StreamSample.of(message(2).model_copy(update={"history_item_ids": (99, 98), "history_levels": (3, 3)}))
    made = batch_of([nothing], toy.fmt, toy.catalog, CONFIG, LossConfig(), np.random.default_rng(0))
    assert made.batch is None
    assert made.unknown_items >= 2


def test_evaluation_asks_about_the_newest_sample_of_each_user() -> None:
    samples = [sample(number) for number in range(20)]
    newest = newest_of_each_user(samples)
    assert [one.user for one in newest] == [f"u{number}" for number in range(7)]
    assert {one.sample_id for one in newest} == {f"sample-{number}" for number in range(13, 20)}
    for one in newest:
        held_out = one.held_out(Level.CLICK)
        right = {int(item) for item, level in zip(one.items_K, one.levels_K, strict=True) if level >= Level.CLICK}
        if held_out is None:
            assert not right
        else:
            assert held_out.truth["click"] == right
            assert held_out.circumstances.timestamp_ms == one.requested_at // 1000 * 1000
