"""History and context to prompt tokens: the one definition that training and serving share.

Called by training on a log's sessions, by precompute on a trigger.  Never looks at weights, clock or store.
"""

# Shapes: T items of a history, M levels, L prompt tokens, P key positions.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.behaviors import Level
from contracts.errors import BadBundle, BadRequest
from model.prompt.context import PromptContext, device_class
from model.prompt.format import PromptFormat
from model.prompt.special_tokens import MARKER, SCENE_NONE, SCENE_OTHER, behavior_token
from model.semantic_id.catalog import Catalog

Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What the engine is asked, and what could not be asked.

    `tokens`: Int64[L], the last one the marker.  `unknown_items`: left out since the catalogue does not know
    them, each once, as first seen.  `key_positions`: Int64[P], where item codes stand: the rank head's keys.
    """

    tokens: Int64s
    unknown_items: tuple[int, ...]
    key_positions: Int64s


def history_tokens(fmt: PromptFormat, codes_TM: Int32s, levels_T: Int8s) -> Int64s:
    """Tokens of a history, oldest first and uncut: Int64[T * fmt.item_tokens].

    Appending items appends tokens and changes none.  Raises BadRequest for what does not fit the format.
    """
    _check_history(fmt, codes_TM, levels_T)
    tokens_TM = codes_TM.astype(np.int64) + np.asarray(fmt.token_offsets, np.int64)
    if fmt.layout == "items":
        return tokens_TM.reshape(-1)
    token_of_level = np.asarray([0, *(fmt.special_tokens[behavior_token(level)] for level in Level)], np.int64)
    return np.column_stack([token_of_level[levels_T], tokens_TM]).reshape(-1)


def _check_history(fmt: PromptFormat, codes_TM: Int32s, levels_T: Int8s) -> None:
    if codes_TM.ndim != 2 or codes_TM.shape[1] != fmt.levels or levels_T.shape != codes_TM.shape[:1]:
        raise BadRequest(
            f"a history needs {fmt.levels} codes and one level per item, "
            f"not arrays of shape {codes_TM.shape} and {levels_T.shape}"
        )
    if ((codes_TM < 0) | (codes_TM >= np.asarray(fmt.level_sizes))).any():
        raise BadRequest(f"a history's code lies outside its level of {fmt.level_sizes} codes")
    if ((levels_T < min(Level)) | (levels_T > max(Level))).any():
        raise BadRequest(f"a history's behaviour level must be {min(Level):d} to {max(Level):d}")


def context_tokens(fmt: PromptFormat, context: PromptContext) -> Int64s:
    """Scene, hour and device class, as the format has them, what ends an instruction, and the marker.

    Int64[fmt.context_length].
    A scene that training did not know is `scene:other`, one that was not given `scene:none`.
    """
    special = fmt.special_tokens
    scene = SCENE_NONE if context.scene is None else f"scene:{context.scene}"
    hour = "none" if context.hour is None else context.hour
    known = {
        "scene": special.get(scene, special[SCENE_OTHER]),
        "hour": special[f"hour:{hour}"],
        "device": special[f"device:{device_class(context.device)}"],
    }
    return np.asarray([*(known[name] for name in fmt.context), *fmt.after, special[MARKER]], np.int64)


def cut_of(fmt: PromptFormat, history_length: int) -> int:
    """Tokens that leave the front of a history: the least multiple of block_tokens that makes the prompt fit.

    At most the whole history, where a block is longer than the room that max_tokens leaves for one.
    """
    excess = max(0, history_length + fmt.fixed_length - fmt.max_tokens)
    return min(history_length, -(-excess // fmt.block_tokens) * fmt.block_tokens)


def build_prompt(fmt: PromptFormat, codes_TM: Int32s, levels_T: Int8s, context: PromptContext) -> Int64s:
    """The prompt, Int64[L], L <= fmt.max_tokens: an instruction's beginning, what the cut leaves, the context.

    Cutting whole blocks keeps the front of a growing prompt still for many triggers, so that an engine's
    prefix cache goes on matching.  Raises BadRequest as `history_tokens` does.
    """
    history = history_tokens(fmt, codes_TM, levels_T)
    before = np.asarray(fmt.before, np.int64)
    return np.concatenate([before, history[cut_of(fmt, history.size) :], context_tokens(fmt, context)])


def key_positions(fmt: PromptFormat, tokens_L: Int64s) -> Int64s:
    """Positions whose token lies in a level's slice, ascending, Int64[P]: the keys of the rank head."""
    is_code_L = np.zeros(tokens_L.shape, np.bool_)
    for offset, size in zip(fmt.token_offsets, fmt.level_sizes, strict=True):
        is_code_L |= (tokens_L >= offset) & (tokens_L < offset + size)
    return np.flatnonzero(is_code_L)


def prompt_from_history(
    fmt: PromptFormat,
    catalog: Catalog,
    items: Sequence[int] | Int64s,
    levels: Sequence[int] | Int8s,
    context: PromptContext,
) -> Prompt:
    """The prompt of a history of item ids, oldest first, with one behaviour level each.

    Items weaker than fmt.history_level are left out, as they were in training; items that the catalogue does
    not know are left out before the cut, so that they take no room, and are listed.
    Raises BadRequest where items and levels differ in number, BadBundle where catalogue and format differ.
    """
    if catalog.level_sizes != fmt.level_sizes:
        raise BadBundle(f"the catalogue has levels {catalog.level_sizes}, the prompt {fmt.level_sizes}")
    items_T = np.asarray(items, np.int64).reshape(-1)
    levels_T = np.asarray(levels, np.int8).reshape(-1)
    if items_T.size != levels_T.size:
        raise BadRequest(f"{items_T.size} items but {levels_T.size} behaviours")
    strong_T = levels_T >= fmt.history_level
    items_T, levels_T = items_T[strong_T], levels_T[strong_T]
    rows_T = catalog.rows_of(items_T)
    known_T = rows_T >= 0
    tokens = build_prompt(fmt, catalog.codes[rows_T[known_T]], levels_T[known_T], context)
    unknown = tuple(dict.fromkeys(items_T[~known_T].tolist()))
    return Prompt(tokens, unknown, key_positions(fmt, tokens))
