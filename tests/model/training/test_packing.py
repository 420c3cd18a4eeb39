"""The packed layout against one forward per prompt and target, and against the prompts that serving builds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contracts.behaviors import Level
from model.data.timelines import Timeline
from model.prompt import context_tokens, key_positions
from model.prompt.context import PromptContext
from model.training.config import SampleConfig
from model.training.packing import PackedBatch, pack
from model.training.samples import TrainingRow, draw_samples
from model.training.session_table import SessionTable

from .alone import served_prompt, sessions_alone
from .toys import Toy, drawn, packed_whole, random_timeline, session, timeline

LEVELS = pytest.mark.parametrize("sizes", [(16,), (4, 5), (3, 4, 3)], ids=["m=1", "m=2", "m=3"])
LAYOUTS = pytest.mark.parametrize("layout", ["items", "items_behaviors"])
SAMPLES = SampleConfig(targets=3, sampled_negatives=2, row_sessions=3)


def packed(toy: Toy, timelines: list[Timeline]) -> tuple[list[TrainingRow], PackedBatch]:
    samples = drawn(toy, timelines, SAMPLES, toy.seed)
    return list(samples.rows()), packed_whole(samples, toy.fmt)


@LEVELS
@LAYOUTS
@pytest.mark.parametrize("seed", [0, 1])
def test_a_packed_row_computes_what_every_prompt_and_target_computes_alone(
    sizes: tuple[int, ...], layout: str, seed: int
) -> None:
    toy = Toy(sizes, layout, seed=seed)
    network = toy.shaken()
    rows, batch = packed(toy, [random_timeline(toy, seed), random_timeline(toy, seed + 9, length=3)])
    # The scenario is worth its name: rows with several sessions, cuts, padding, and prompts that begin later.
    assert max(len(row.sessions) for row in rows) > 1
    assert len({sample.visible for row in rows for sample in row.sessions}) > 2
    assert len({row.tokens for row in rows}) > 1
    assert max(len(row.sessions[0].codes_Km) for row in rows) > 1
    with torch.no_grad():
        states_BSD = network(batch.tokens_BS, batch.positions_BS, batch.mask()[:, None])
        assert bool(torch.isfinite(states_BSD).all())
        target = 0
        for number, alone in enumerate(sessions_alone(network, rows, toy.fmt)):
            row_SD = states_BSD[batch.row_N[number]]
            visible = int(batch.visible_N[number])
            expected = alone.prompt_LD
            torch.testing.assert_close(row_SD[:visible], expected[:visible], rtol=0, atol=1e-9)
            torch.testing.assert_close(row_SD[batch.marker_N[number]], expected[-1], rtol=0, atol=1e-9)
            keys = row_SD[:visible][batch.history_BS[batch.row_N[number], :visible]]
            torch.testing.assert_close(keys, alone.keys_HD, rtol=0, atol=1e-9)
            for states_mD in alone.target_KmD:
                assert int(batch.session_T[target]) == number
                found_jD = row_SD[batch.place_Tm[target]]
                torch.testing.assert_close(found_jD, states_mD[1:], rtol=0, atol=1e-9)
                target += 1
    assert target == len(batch.session_T)


def test_in_float32_they_agree_to_five_digits() -> None:
    toy = Toy()
    network = toy.network()
    rows, batch = packed(toy, [random_timeline(toy, 4)])
    with torch.no_grad():
        states_BSD = network(batch.tokens_BS, batch.positions_BS, batch.mask()[:, None])
        for number, alone in enumerate(sessions_alone(network, rows, toy.fmt)):
            marker_D = states_BSD[batch.row_N[number], batch.marker_N[number]]
            torch.testing.assert_close(marker_D, alone.prompt_LD[-1], rtol=0, atol=1e-5)


@LEVELS
@LAYOUTS
@pytest.mark.parametrize("seed", range(4))
def test_training_sees_the_prompt_that_serving_builds(sizes: tuple[int, ...], layout: str, seed: int) -> None:
    toy = Toy(sizes, layout, seed=seed)
    fmt, catalog = toy.fmt, toy.catalog
    user = random_timeline(toy, seed)
    rows, _ = packed(toy, [user])
    # Each session has an hour of its own, so its context tells which one it is.
    trained = {
        tuple(sample.context_C): np.concatenate([row.history_L[: sample.visible], sample.context_C])
        for row in rows
        for sample in row.sessions
    }
    assert len(trained) == sum(len(row.sessions) for row in rows)
    cut = 0
    for request in user.sessions:
        prompt = served_prompt(fmt, catalog, user, request)
        found = trained.pop(tuple(prompt[-fmt.context_length :]), None)
        if found is not None:
            np.testing.assert_array_equal(found, prompt)
            known = int((catalog.rows_of(user.items[: request.cut]) >= 0).sum())
            cut += known * fmt.item_tokens > len(prompt) - fmt.context_length
    assert not trained
    assert cut, "no prompt of this user was cut: the test says too little"


def test_sessions_whose_prompts_begin_at_different_items_stand_in_different_rows() -> None:
    toy = Toy(room=4)
    sessions = [session(cut, [1, 2], [Level.CLICK, Level.EXPOSURE], cut) for cut in (3, 4, 5, 6, 7)]
    rows, _ = packed(toy, [timeline(list(range(1, 8)), sessions)])
    # Four items fit; a cut drops two, so 5 and 6 items lose the first two, and 7 the first four.
    visible = [[sample.visible // 2 for sample in row.sessions] for row in rows]
    assert visible == [[3, 4], [3, 4], [3]]
    first = [int(toy.catalog.rows_of([item])[0]) for item in (1, 3, 5)]
    for row, place in zip(rows, first, strict=True):
        expected = toy.catalog.codes[place] + np.array(toy.fmt.token_offsets)
        assert row.history_L[:2].tolist() == expected.tolist()


def test_the_rows_of_a_batch_say_how_many_tokens_they_take() -> None:
    toy = Toy()
    rows, batch = packed(toy, [random_timeline(toy, 2), random_timeline(toy, 3, length=2, sessions=1)])
    assert batch.tokens == len(rows) * max(row.tokens for row in rows)
    real = int((batch.tokens_BS != toy.fmt.pad).sum())
    assert real == sum(row.tokens for row in rows)


def test_rank_head_keys_are_item_codes_wherever_special_tokens_lie() -> None:
    toy = Toy(layout="items_behaviors")
    section = toy.fmt.to_config()
    moved = {name: token + 20 for name, token in toy.fmt.special_tokens.items()}
    levels = [{"size": 4, "token_offset": 2}, {"size": 5, "token_offset": 8}]
    fmt = type(toy.fmt).from_config({**section, "special_tokens": moved, "levels": levels})
    table = SessionTable.of([random_timeline(toy, 1)], fmt, toy.catalog)
    samples = draw_samples(table, fmt, toy.catalog, SAMPLES, np.random.default_rng(0))
    row = next(samples.rows())
    batch = pack(samples, np.array([0]), fmt)
    keys = torch.nonzero(batch.history_BS[0])[:, 0].tolist()
    assert keys == key_positions(fmt, row.history_L).tolist()


def test_an_unknown_scene_is_another_one_in_training_as_in_serving() -> None:
    toy = Toy()
    [row] = drawn(toy, [timeline([1, 2], [session(1, [3], [Level.CLICK], number=2)])], SAMPLES).rows()
    expected = context_tokens(toy.fmt, PromptContext(scene="never seen", hour=2, device="mobile"))
    np.testing.assert_array_equal(row.sessions[0].context_C, expected)
