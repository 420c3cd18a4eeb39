"""The packed layout of RankGR's samples (arXiv 2602.08575, eqs. 6 and 7), several sessions to a row.

    row = [history] ++ [context of session 1][target 1][target 2].. ++ [context of session 2][target 1]..

A session sees its prompt's history and itself; a target sees its session's prompt and itself, never another target.
Positions restart behind the visible history, so that a state does not depend on where in the row it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.prompt import PromptFormat, key_positions
from model.training.samples import SessionSample, TrainingRow

# Axes: B rows, S tokens of a row, N sessions of the batch, T targets of the batch, m levels.


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Everything a step needs, as tensors (int64 where not said otherwise).

    tokens_BS, positions_BS; mask_BSS bool, True where the query (first S) may attend to the key;
    history_BS bool: tokens that are rank-head keys; row_N, marker_N: a session's row and the place of its marker;
    visible_N: history tokens its prompt holds; session_T: a target's session; place_Tm: the place of its code l at
    [:, l - 1] for l < m; codes_Tm: its codes, 0-based; level_T; ntp_T bool.
    """

    tokens_BS: Tensor
    positions_BS: Tensor
    mask_BSS: Tensor
    history_BS: Tensor
    row_N: Tensor
    marker_N: Tensor
    visible_N: Tensor
    session_T: Tensor
    place_Tm: Tensor
    codes_Tm: Tensor
    level_T: Tensor
    ntp_T: Tensor

    @property
    def tokens(self) -> int:
        """Tokens computed for this batch, padding included."""
        return int(self.tokens_BS.numel())


@dataclass(slots=True)
class _Row:
    """One row while it is laid out: per token its id, position, visible history, session and target number."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    visible: NDArray[np.int64]
    session: NDArray[np.int64]
    target: NDArray[np.int64]
    markers: list[int]
    places: list[NDArray[np.int64]]


def pack(rows: Sequence[TrainingRow], fmt: PromptFormat) -> PackedBatch:
    """Lay rows out side by side, padded at the end to the longest; padding attends to itself alone."""
    laid = [_lay_out(row, fmt) for row in rows]
    width = max(len(row.tokens) for row in laid)
    pad = fmt.pad
    tokens_BS = np.stack([_padded(row.tokens, width, pad) for row in laid])
    visible_BS = np.stack([_padded(row.visible, width, 0) for row in laid])
    session_BS = np.stack([_padded(row.session, width, -1) for row in laid])
    target_BS = np.stack([_padded(row.target, width, -1) for row in laid])
    sessions = [(b, s) for b, row in enumerate(rows) for s in row.sessions]
    counts = [len(s.level_K) for _, s in sessions]
    is_code_BS = np.zeros(tokens_BS.shape, dtype=np.bool_)
    is_code_BS.flat[key_positions(fmt, tokens_BS.ravel())] = True
    return PackedBatch(
        tokens_BS=torch.from_numpy(tokens_BS),
        positions_BS=torch.from_numpy(np.stack([_padded(row.positions, width, 0) for row in laid])),
        mask_BSS=torch.from_numpy(_mask(visible_BS, session_BS, target_BS)),
        history_BS=torch.from_numpy((session_BS == 0) & is_code_BS),
        row_N=torch.tensor([b for b, _ in sessions]),
        marker_N=torch.tensor([place for row in laid for place in row.markers]),
        visible_N=torch.tensor([s.visible for _, s in sessions]),
        session_T=torch.from_numpy(np.repeat(np.arange(len(sessions)), counts)),
        place_Tm=torch.from_numpy(np.concatenate([p for row in laid for p in row.places])),
        codes_Tm=torch.from_numpy(np.concatenate([s.codes_Km for _, s in sessions])),
        level_T=torch.from_numpy(np.concatenate([s.level_K for _, s in sessions])),
        ntp_T=torch.from_numpy(np.concatenate([s.ntp_K for _, s in sessions])),
    )


def _lay_out(row: TrainingRow, fmt: PromptFormat) -> _Row:
    length = len(row.history_L)
    index = np.arange(length)
    parts = [_Row(row.history_L, index, index + 1, np.zeros_like(index), np.zeros_like(index), [], [])]
    start = length
    for number, session in enumerate(row.sessions, start=1):
        part = _lay_out_session(session, fmt, number, start)
        parts.append(part)
        start += len(part.tokens)
    return _Row(
        tokens=np.concatenate([p.tokens for p in parts]),
        positions=np.concatenate([p.positions for p in parts]),
        visible=np.concatenate([p.visible for p in parts]),
        session=np.concatenate([p.session for p in parts]),
        target=np.concatenate([p.target for p in parts]),
        markers=[place for p in parts for place in p.markers],
        places=[place for p in parts for place in p.places],
    )


def _lay_out_session(session: SessionSample, fmt: PromptFormat, number: int, start: int) -> _Row:
    """Context, then every target's codes but the last, which is only ever a label."""
    context = len(session.context_C)
    targets, levels = session.codes_Km.shape
    fed_Kj = session.codes_Km[:, :-1] + np.asarray(fmt.token_offsets[:-1], dtype=np.int64)
    own = np.tile(np.arange(levels - 1), targets)
    size = context + fed_Kj.size
    return _Row(
        tokens=np.concatenate([session.context_C, fed_Kj.ravel()]),
        positions=session.visible + np.concatenate([np.arange(context), context + own]),
        visible=np.full(size, session.visible),
        session=np.full(size, number),
        target=np.concatenate([np.zeros(context, np.int64), np.repeat(np.arange(1, targets + 1), levels - 1)]),
        markers=[start + context - 1],
        places=[start + context + np.arange(fed_Kj.size, dtype=np.int64).reshape(targets, levels - 1)],
    )


def _mask(
    visible_BS: NDArray[np.int64], session_BS: NDArray[np.int64], target_BS: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Eq. 7, for several sessions: [B, query, key]."""
    index_S = np.arange(visible_BS.shape[1])
    history = (session_BS[:, None, :] == 0) & (index_S[None, None, :] < visible_BS[:, :, None])
    together = (session_BS[:, :, None] == session_BS[:, None, :]) & (session_BS[:, None, :] > 0)
    own = (target_BS[:, None, :] == 0) | (target_BS[:, :, None] == target_BS[:, None, :])
    causal = index_S[None, None, :] <= index_S[None, :, None]
    # Padding looks at itself: a row of the softmax without any key would be NaN.
    itself = np.eye(len(index_S), dtype=np.bool_)[None]
    mask: NDArray[np.bool_] = history | (together & own & causal) | itself
    return mask


def _padded(values: NDArray[np.int64], width: int, fill: int) -> NDArray[np.int64]:
    return np.pad(values, (0, width - len(values)), constant_values=fill)
