"""A format checks itself at birth, and its config section says all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from contracts.behaviors import Level
from contracts.errors import BadBundle
from model.prompt.format import PromptFormat


def some_format(layout: str = "items") -> PromptFormat:
    return PromptFormat.create((8, 16), ["home", "search"], layout=layout, max_tokens=64)


def test_ids_are_allotted_without_gap_or_overlap() -> None:
    fmt = some_format()
    ids = sorted(fmt.special_tokens.values())
    for offset, size in zip(fmt.token_offsets, fmt.level_sizes, strict=True):
        ids.extend(range(offset, offset + size))
    assert sorted(ids) == list(range(fmt.used_tokens))


def test_the_vocabulary_is_a_multiple_of_eight_that_holds_every_id() -> None:
    fmt = some_format()
    assert fmt.vocab_size % 8 == 0
    assert fmt.used_tokens <= fmt.vocab_size < fmt.used_tokens + 8


def test_every_scene_has_a_token_once_and_the_order_given_does_not_matter() -> None:
    one = PromptFormat.create((4,), ["b", "a", "b", "", "other", "none"])
    assert one == PromptFormat.create((4,), ["a", "b"])
    scenes = [name for name in one.special_tokens if name.startswith("scene:")]
    assert scenes == ["scene:none", "scene:other", "scene:a", "scene:b"]


@pytest.mark.parametrize(
    ("levels", "layout", "block"),
    [(2, "items", 48), (2, "items_behaviors", 48), (3, "items_behaviors", 48), (4, "items_behaviors", 80)],
)
def test_the_default_block_holds_whole_items_and_whole_cache_blocks(levels: int, layout: str, block: int) -> None:
    fmt = PromptFormat.create((4,) * levels, layout=layout)
    assert fmt.block_tokens == block
    assert block % fmt.item_tokens == 0
    assert block % 16 == 0


def test_a_new_format_refuses_a_block_that_would_cut_an_item_in_two() -> None:
    with pytest.raises(BadBundle, match="no multiple of the 3 tokens of an item"):
        PromptFormat.create((4, 4), layout="items_behaviors", block_tokens=16)


@pytest.mark.parametrize("layout", ["items", "items_behaviors"])
def test_the_config_section_gives_the_same_format_back_through_json(layout: str) -> None:
    fmt = replace(some_format(layout), history_level=Level.EXPOSURE)
    section = json.loads(json.dumps(fmt.to_config()))
    assert PromptFormat.from_config(section, fmt.vocab_size) == fmt


def test_the_config_section_has_the_keys_that_others_rely_on() -> None:
    fmt = some_format()
    section = fmt.to_config()
    assert section["levels"] == [
        {"size": 8, "token_offset": fmt.token_offsets[0]},
        {"size": 16, "token_offset": fmt.token_offsets[1]},
    ]
    assert section["special_tokens"] == fmt.special_tokens
    assert section["prompt"] == {
        "layout": "items",
        "max_tokens": 64,
        "block_tokens": 48,
        "history_level": "click",
        "context": ["scene", "hour", "device"],
        "before": [],
        "after": [],
    }


def test_a_section_without_history_level_and_with_foreign_keys_is_read() -> None:
    fmt = some_format()
    section = fmt.to_config() | {"rank_head": {"mode": "mha"}, "format": 1}
    section["prompt"] = {"layout": "items", "max_tokens": 64, "block_tokens": 7, "note": "x"}
    assert PromptFormat.from_config(section) == replace(fmt, block_tokens=7)


def shares_id(fmt: PromptFormat) -> PromptFormat:
    return replace(fmt, special_tokens={**fmt.special_tokens, "pad": fmt.special_tokens["marker"]})


def without(name: str) -> Callable[[PromptFormat], PromptFormat]:
    def make(fmt: PromptFormat) -> PromptFormat:
        return replace(fmt, special_tokens={k: v for k, v in fmt.special_tokens.items() if k != name})

    return make


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: replace(f, layout="codes"), "unknown prompt layout 'codes'"),
        (lambda f: replace(f, block_tokens=0), "block_tokens must be at least 1"),
        (lambda f: replace(f, max_tokens=3), "max_tokens 3 leaves no room for the 4 context tokens"),
        (lambda f: replace(f, level_sizes=()), "needs 1 to 26 levels, not 0"),
        (lambda f: replace(f, level_sizes=(8,)), "1 levels but 2 token offsets"),
        (lambda f: replace(f, level_sizes=(8, 0)), "must be positive"),
        (lambda f: replace(f, token_offsets=(-1, 90)), "not negative"),
        (lambda f: replace(f, token_offsets=(100, 107)), "at token 100 overlaps the one at 107"),
        (lambda f: replace(f, token_offsets=(107, 100)), "at token 100 overlaps the one at 107"),
        (without("marker"), "special tokens are missing: marker"),
        (without("hour:7"), "special tokens are missing: hour:7"),
        (shares_id, "share the id 1"),
        (
            lambda f: replace(f, special_tokens={**f.special_tokens, "pad": -1}),
            "'pad' has the negative id -1",
        ),
        (lambda f: replace(f, token_offsets=(0, 90)), "'pad' has the id 0 inside a level's slice"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    spoil: Callable[[PromptFormat], PromptFormat], complaint: str
) -> None:
    with pytest.raises(BadBundle, match=complaint):
        spoil(some_format())


def test_behaviour_tokens_are_needed_only_where_the_layout_writes_them() -> None:
    drop = without("behavior:click")
    assert "behavior:click" not in drop(some_format()).special_tokens
    with pytest.raises(BadBundle, match="missing: behavior:click"):
        drop(some_format("items_behaviors"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"levels": []}, "rankgr.levels"),
        ({"levels": [{"size": "8", "token_offset": 0}]}, "rankgr.levels.0.size"),
        ({"special_tokens": {"pad": 1.5}}, "rankgr.special_tokens.pad"),
        ({"prompt": {"layout": "items", "max_tokens": 64}}, "rankgr.prompt.block_tokens"),
        (
            {"prompt": {"layout": "items", "max_tokens": 64, "block_tokens": 48, "history_level": "glance"}},
            "unknown prompt.history_level 'glance'",
        ),
    ],
)
def test_a_damaged_section_is_refused_naming_the_field(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadBundle, match=complaint) as refusal:
        PromptFormat.from_config(some_format().to_config() | change)
    assert "\n" not in str(refusal.value)


def test_ids_outside_the_models_vocabulary_are_refused() -> None:
    fmt = some_format()
    with pytest.raises(BadBundle, match="outside the model's vocabulary of 20"):
        PromptFormat.from_config(fmt.to_config(), vocab_size=20)
