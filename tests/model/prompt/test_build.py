"""The prompt: append-only, cut in whole blocks, without holes, with its circumstances at the end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from contracts.errors import BadBundle, BadRequest
from model.prompt.build import (
    build_prompt,
    context_tokens,
    cut_of,
    history_tokens,
    key_positions,
    prompt_from_history,
)
from model.prompt.context import PromptContext
from model.prompt.format import LAYOUTS, PromptFormat
from model.semantic_id.catalog import Catalog

NOWHERE = PromptContext()


def some_format(layout: str = "items", max_tokens: int = 1024, block_tokens: int = 48) -> PromptFormat:
    return PromptFormat.create(
        (8, 16), ["home", "search"], layout=layout, max_tokens=max_tokens, block_tokens=block_tokens
    )


def some_history(items: int, seed: int = 0) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    chance = np.random.default_rng(seed)
    codes_TM = chance.integers(0, (8, 16), (items, 2)).astype(np.int32)
    return codes_TM, chance.integers(Level.CLICK, Level.PURCHASE + 1, items).astype(np.int8)


def some_catalog(items: int = 40) -> Catalog:
    codes_NM, _ = some_history(items, seed=5)
    item_id = np.arange(items, dtype=np.int64) * 10 + 100
    return Catalog(item_id, codes_NM, np.ones(items, np.float32), (8, 16))


def test_an_item_is_its_codes_each_in_its_levels_slice() -> None:
    fmt = some_format()
    first, second = fmt.token_offsets
    tokens = history_tokens(fmt, np.asarray([[3, 15], [0, 2]], np.int32), np.asarray([3, 4], np.int8))
    assert tokens.tolist() == [first + 3, second + 15, first, second + 2]


def test_the_layout_with_behaviours_puts_one_before_each_item() -> None:
    fmt = some_format("items_behaviors")
    first, second = fmt.token_offsets
    tokens = history_tokens(fmt, np.asarray([[3, 15], [0, 2]], np.int32), np.asarray([3, 1], np.int8))
    click, pseudo = fmt.special_tokens["behavior:click"], fmt.special_tokens["behavior:pseudo_exposure"]
    assert tokens.tolist() == [click, first + 3, second + 15, pseudo, first, second + 2]


def test_the_context_is_scene_hour_device_and_the_marker_at_the_very_end() -> None:
    fmt = some_format()
    tokens = build_prompt(fmt, *some_history(3), PromptContext("home", 17, "ios app"))
    names = ["scene:home", "hour:17", "device:mobile", "marker"]
    assert tokens[-fmt.context_length :].tolist() == [fmt.special_tokens[name] for name in names]


def test_what_is_not_known_of_the_context_has_tokens_of_its_own() -> None:
    fmt = some_format()
    names = ["scene:none", "hour:none", "device:none", "marker"]
    assert context_tokens(fmt, NOWHERE).tolist() == [fmt.special_tokens[name] for name in names]
    assert context_tokens(fmt, PromptContext("moon"))[0] == fmt.special_tokens["scene:other"]


@pytest.mark.parametrize(
    "other",
    [
        PromptContext("search", 9, "desktop"),
        PromptContext("home", 10, "desktop"),
        PromptContext("home", 9, "tablet"),
        PromptContext("moon", 9, "desktop"),
        NOWHERE,
    ],
)
def test_scene_hour_and_device_change_the_tokens_and_leave_the_history_alone(other: PromptContext) -> None:
    fmt = some_format()
    history = some_history(5)
    here = build_prompt(fmt, *history, PromptContext("home", 9, "desktop"))
    there = build_prompt(fmt, *history, other)
    assert here.tolist() != there.tolist()
    assert here[: -fmt.context_length].tolist() == there[: -fmt.context_length].tolist()


def common_prefix(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> int:
    shorter = min(one.size, other.size)
    differs = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differs[0]) if differs.size else shorter


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_users_next_trigger_keeps_the_whole_history_of_the_last_as_its_prefix(layout: str) -> None:
    fmt = some_format(layout)
    codes_TM, levels_T = some_history(30)
    before = build_prompt(fmt, codes_TM[:27], levels_T[:27], PromptContext("home", 9))
    after = build_prompt(fmt, codes_TM, levels_T, PromptContext("search", 10))
    assert common_prefix(before, after) >= 27 * fmt.item_tokens


@pytest.mark.parametrize("layout", LAYOUTS)
def test_beyond_the_cut_the_front_stands_still_but_for_one_step_a_block(layout: str) -> None:
    fmt = some_format(layout, max_tokens=100, block_tokens=12)
    codes_TM, levels_T = some_history(120)
    prompts = [build_prompt(fmt, codes_TM[:n], levels_T[:n], NOWHERE) for n in range(121)]
    moves = 0
    for before, after in pairwise(prompts):
        kept = before.size - fmt.context_length
        if common_prefix(before, after) < kept:
            moves += 1
            assert before[12 : before.size - 4].tolist() == after[: kept - 12].tolist()
    assert moves == cut_of(fmt, 120 * fmt.item_tokens) // 12
    assert moves <= 120 * fmt.item_tokens // 12


def naive_cut(history: list[int], context: list[int], max_tokens: int, block_tokens: int) -> list[int]:
    while len(history) + len(context) > max_tokens:
        history = history[block_tokens:]
    return history + context


@given(
    items=st.integers(0, 60),
    max_tokens=st.integers(4, 80),
    blocks=st.integers(1, 20),
    layout=st.sampled_from(LAYOUTS),
)
def test_the_cut_is_that_of_a_loop_that_drops_blocks_until_it_fits(
    items: int, max_tokens: int, blocks: int, layout: str
) -> None:
    block_tokens = blocks * (3 if layout == "items_behaviors" else 2)
    fmt = some_format(layout, max_tokens, block_tokens)
    codes_TM, levels_T = some_history(items)
    prompt = build_prompt(fmt, codes_TM, levels_T, NOWHERE)
    history, context = history_tokens(fmt, codes_TM, levels_T), context_tokens(fmt, NOWHERE)
    assert prompt.tolist() == naive_cut(history.tolist(), context.tolist(), max_tokens, block_tokens)
    assert context.size <= prompt.size <= max_tokens
    assert (prompt.size - context.size) % fmt.item_tokens == 0


def test_unknown_items_leave_no_hole_and_are_listed_once_in_the_order_seen() -> None:
    fmt, catalog = some_format(), some_catalog()
    with_unknown = prompt_from_history(
        fmt, catalog, [100, 7, 110, -3, 7, 120], [3, 3, 4, 3, 3, 3], PromptContext("home")
    )
    without = prompt_from_history(fmt, catalog, [100, 110, 120], [3, 4, 3], PromptContext("home"))
    assert with_unknown.tokens.tolist() == without.tokens.tolist()
    assert with_unknown.unknown_items == (7, -3)
    assert without.unknown_items == ()


def test_unknown_items_take_no_room_from_known_ones() -> None:
    fmt, catalog = some_format(max_tokens=10, block_tokens=2), some_catalog()
    prompt = prompt_from_history(fmt, catalog, [100, 110, 120, *range(50)], [3] * 53, NOWHERE)
    assert prompt.tokens.size == 10


def test_behaviours_weaker_than_the_formats_stay_out_of_the_history_unlisted() -> None:
    catalog = some_catalog()
    fmt = some_format()
    items, levels = [100, 110, 5], [Level.CLICK, Level.EXPOSURE, Level.EXPOSURE]
    assert prompt_from_history(fmt, catalog, items, levels, NOWHERE).tokens.size == 2 + fmt.context_length
    assert prompt_from_history(fmt, catalog, items, levels, NOWHERE).unknown_items == ()
    wide = replace(fmt, history_level=Level.EXPOSURE)
    assert prompt_from_history(wide, catalog, items, levels, NOWHERE).tokens.size == 4 + fmt.context_length


def test_serving_builds_the_prompt_that_training_builds() -> None:
    fmt, catalog = some_format("items_behaviors"), some_catalog()
    context = PromptContext("home", 3, "pc")
    served = prompt_from_history(fmt, catalog, catalog.item_id[:9], [3] * 9, context)
    trained = build_prompt(fmt, catalog.codes[:9], np.full(9, 3, np.int8), context)
    assert served.tokens.tolist() == trained.tolist()


def test_an_empty_history_is_the_context_alone() -> None:
    fmt = some_format()
    prompt = prompt_from_history(fmt, some_catalog(), [], [], NOWHERE)
    assert prompt.tokens.tolist() == context_tokens(fmt, NOWHERE).tolist()
    assert prompt.key_positions.size == 0


def test_key_positions_are_those_of_item_codes() -> None:
    fmt = some_format("items_behaviors")
    prompt = prompt_from_history(fmt, some_catalog(), [100, 110], [3, 4], PromptContext("home", 1, "pc"))
    assert prompt.key_positions.tolist() == [1, 2, 4, 5]
    slow = [p for p, token in enumerate(prompt.tokens.tolist()) if fmt.level_of_token(token) is not None]
    assert key_positions(fmt, prompt.tokens).tolist() == slow


def test_tokens_are_int64() -> None:
    fmt = some_format("items_behaviors")
    assert build_prompt(fmt, *some_history(2), NOWHERE).dtype == np.int64
    assert build_prompt(fmt, *some_history(0), NOWHERE).dtype == np.int64


@pytest.mark.parametrize(
    ("codes", "levels", "complaint"),
    [
        ([[1, 2, 3]], [3], "needs 2 codes and one level per item"),
        ([[1, 2]], [3, 3], "needs 2 codes and one level per item"),
        ([[8, 2]], [3], "lies outside its level"),
        ([[1, -1]], [3], "lies outside its level"),
        ([[1, 2]], [0], "must be 1 to 4"),
        ([[1, 2]], [5], "must be 1 to 4"),
    ],
)
def test_a_history_that_does_not_fit_the_format_is_refused(
    codes: list[list[int]], levels: list[int], complaint: str
) -> None:
    with pytest.raises(BadRequest, match=complaint):
        history_tokens(some_format(), np.asarray(codes, np.int32), np.asarray(levels, np.int8))


def test_items_and_behaviours_must_be_as_many() -> None:
    with pytest.raises(BadRequest, match="2 items but 1 behaviours"):
        prompt_from_history(some_format(), some_catalog(), [100, 110], [3], NOWHERE)


def test_a_catalogue_of_other_levels_is_refused() -> None:
    with pytest.raises(BadBundle, match="catalogue has levels"):
        prompt_from_history(PromptFormat.create((8, 8)), some_catalog(), [], [], NOWHERE)


def test_a_format_can_leave_circumstances_out() -> None:
    fmt = replace(some_format(), context=("hour",))
    tokens = build_prompt(fmt, *some_history(3), PromptContext("home", 17, "ios app"))
    assert fmt.context_length == 2
    assert tokens[-2:].tolist() == [fmt.special_tokens["hour:17"], fmt.marker]
    assert len(tokens) == 3 * fmt.item_tokens + 2
    bare = replace(fmt, context=())
    assert build_prompt(bare, *some_history(3), PromptContext("home", 17))[-1:].tolist() == [bare.marker]
    for wrong in (("weather",), ("hour", "hour")):
        with pytest.raises(BadBundle, match="context"):
            replace(fmt, context=wrong)


@given(st.integers(0, 60), st.integers(0, 9), st.integers(0, 5))
def test_an_instruction_stays_whole_whatever_the_history(items: int, before: int, after: int) -> None:
    plain = some_format(max_tokens=64)
    front, back = tuple(range(1000, 1000 + before)), tuple(range(2000, 2000 + after))
    fmt = replace(plain.behind(3000), before=front, after=back)
    tokens = build_prompt(fmt, *some_history(items), NOWHERE).tolist()
    assert tokens[:before] == list(front)
    assert tokens[len(tokens) - 1 - after : -1] == list(back)
    assert tokens[-1] == fmt.marker == plain.marker + 3000
    assert len(tokens) <= fmt.max_tokens
    history = tokens[before : len(tokens) - fmt.context_length]
    # What is left of the history is its end, in whole blocks from the front.
    whole = history_tokens(fmt, *some_history(items)).tolist()
    assert history == whole[len(whole) - len(history) :]
    assert history == whole[cut_of(fmt, len(whole)) :]
    # Words are no keys.
    assert key_positions(fmt, np.array(tokens)).tolist() == list(range(before, before + len(history)))


def test_an_instruction_of_item_codes_is_refused() -> None:
    fmt = some_format()
    with pytest.raises(BadBundle, match="instruction"):
        replace(fmt, before=(fmt.token_offsets[0],))
    with pytest.raises(BadBundle, match="no room"):
        replace(fmt, after=tuple(range(5000, 5000 + fmt.max_tokens)))


def test_context_and_instruction_are_read_back_from_the_configuration() -> None:
    fmt = replace(some_format().behind(500), context=("scene", "device"), before=(7, 8), after=(9,))
    assert PromptFormat.from_config(fmt.to_config()) == fmt
