"""The packed layout of RankGR's samples (arXiv 2602.08575, eqs. 6 and 7), several sessions to a row.

    row = [history] ++ [context of session 1][target 1][target 2].. ++ [context of session 2][target 1]..

A session sees its prompt's history and itself; a target sees its session's prompt and itself, never another target.
Positions restart behind the visible history, so that a state does not depend on where in the row it stands.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.prompt import PromptFormat, key_positions
from model.training.ragged import Ints, members
from model.training.samples import SampleTable

# Axes: B rows, S tokens of a row, N sessions of the batch, T targets of the batch, L history tokens, C context tokens,
# G what RSP decides on, m levels.


@dataclass(frozen=True, slots=True)
class Asked:
    """What RSP is asked: sessions (level 1) and targets (deeper levels), numbers within a sample table, sorted."""

    sessions: Ints
    targets: Ints


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Everything a step needs, as tensors (int64 where not said otherwise).

    tokens_BS, positions_BS; per token visible_BS (history tokens its session sees), session_BS (0: history, -1:
    padding) and target_BS (0: of no target); history_BS bool: tokens that are rank-head keys.
    row_N, marker_N: a session's row and the place of its marker; visible_N: history tokens its prompt holds;
    session_T: a target's session; place_Tm: the place of its code l at [:, l - 1] for l < m; codes_Tm: its codes,
    0-based; level_T; ntp_T bool.  asked_N, asked_T: the sessions and targets that RSP decides on; chance_N, chance_T.
    idle: a copy that counts for nothing, for a process that is left without a row.
    """

    tokens_BS: Tensor
    positions_BS: Tensor
    visible_BS: Tensor
    session_BS: Tensor
    target_BS: Tensor
    history_BS: Tensor
    row_N: Tensor
    marker_N: Tensor
    visible_N: Tensor
    session_T: Tensor
    place_Tm: Tensor
    codes_Tm: Tensor
    level_T: Tensor
    ntp_T: Tensor
    asked_N: Tensor
    asked_T: Tensor
    chance_N: Tensor
    chance_T: Tensor
    idle: bool = False

    @property
    def tokens(self) -> int:
        """Tokens computed for this batch, padding included."""
        return int(self.tokens_BS.numel())

    def to(self, device: torch.device) -> PackedBatch:
        """The same on a device."""
        if device == self.tokens_BS.device:
            return self
        tensors = {
            field.name: getattr(self, field.name).to(device)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **tensors)

    def as_idle(self) -> PackedBatch:
        """The same, counting for nothing."""
        return dataclasses.replace(self, idle=True)

    def mask(self) -> Tensor:
        """Eq. 7, for several sessions: bool [B, S, S], True where the query (first S) may attend to the key."""
        index_S = torch.arange(self.tokens_BS.shape[1], device=self.tokens_BS.device)
        session_B1S, target_B1S = self.session_BS[:, None, :], self.target_BS[:, None, :]
        history = (session_B1S == 0) & (index_S < self.visible_BS[:, :, None])
        together = (self.session_BS[:, :, None] == session_B1S) & (session_B1S > 0)
        own = (target_B1S == 0) | (self.target_BS[:, :, None] == target_B1S)
        # Padding looks at itself: a row of the softmax without any key would be NaN.
        itself = index_S[None, :] == index_S[:, None]
        return history | (together & own & (index_S[None, :] <= index_S[:, None])) | itself


def pack(samples: SampleTable, rows_B: Ints, fmt: PromptFormat, asked: Asked | None = None) -> PackedBatch:
    """Lay rows out side by side, padded at the end to the longest.

    asked None: RSP decides on every session and target.
    """
    layout = _Layout.of(samples, rows_B, fmt)
    tokens_BS = np.full((len(rows_B), layout.width), fmt.pad)
    positions_BS, visible_BS, target_BS = (np.zeros_like(tokens_BS) for _ in range(3))
    session_BS = np.full_like(tokens_BS, -1)
    layout.fill_history(tokens_BS, positions_BS, visible_BS, session_BS)
    layout.fill_contexts(tokens_BS, positions_BS, visible_BS, session_BS)
    place_Tm = layout.fill_targets(tokens_BS, positions_BS, visible_BS, session_BS, target_BS)
    is_code_BS = np.zeros(tokens_BS.shape, dtype=np.bool_)
    is_code_BS.flat[key_positions(fmt, tokens_BS.ravel())] = True
    session_N, target_T = layout.session_N, layout.target_T
    asked_N = np.arange(len(session_N)) if asked is None else np.flatnonzero(np.isin(session_N, asked.sessions))
    asked_T = np.arange(len(target_T)) if asked is None else np.flatnonzero(np.isin(target_T, asked.targets))
    arrays: dict[str, NDArray[np.generic]] = {
        "tokens_BS": tokens_BS,
        "positions_BS": positions_BS,
        "visible_BS": visible_BS,
        "session_BS": session_BS,
        "target_BS": target_BS,
        "history_BS": (session_BS == 0) & is_code_BS,
        "row_N": layout.row_N,
        "marker_N": layout.begin_N + fmt.context_length - 1,
        "visible_N": layout.visible_N,
        "session_T": layout.owner_T,
        "place_Tm": place_Tm,
        "codes_Tm": samples.codes_Tm[target_T],
        "level_T": samples.level_T[target_T],
        "ntp_T": samples.ntp_T[target_T],
        "asked_N": asked_N,
        "asked_T": asked_T,
        "chance_N": samples.chance_N[session_N],
        "chance_T": samples.chance_T[target_T],
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return PackedBatch(**tensors)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything of a batch stands.

    session_N: numbers of the batch's sessions in the table; row_N, number_N: the row of each and its number there,
    from 1; begin_N: the place of its first token; target_T, owner_T, within_T: targets in the table, the session of the
    batch each belongs to, and its number there, from 0.
    """

    samples: SampleTable
    fmt: PromptFormat
    rows_B: Ints
    width: int
    session_N: Ints
    row_N: Ints
    number_N: Ints
    visible_N: Ints
    begin_N: Ints
    target_T: Ints
    owner_T: Ints
    within_T: Ints

    @classmethod
    def of(cls, samples: SampleTable, rows_B: Ints, fmt: PromptFormat) -> _Layout:
        first_B = samples.first_R[rows_B]
        row_N, within_N, session_N = members(first_B, samples.first_R[rows_B + 1] - first_B)
        first_N = samples.first_N[session_N]
        count_N = samples.first_N[session_N + 1] - first_N
        owner_T, within_T, target_T = members(first_N, count_N)
        size_N = fmt.context_length + (fmt.levels - 1) * count_N
        before_N = np.cumsum(size_N) - size_N
        opening_N = before_N[np.flatnonzero(within_N == 0)][row_N]
        history_B = len(fmt.before) + samples.longest_R[rows_B]
        return cls(
            samples=samples,
            fmt=fmt,
            rows_B=rows_B,
            width=int(samples.tokens_R[rows_B].max()),
            session_N=session_N,
            row_N=row_N,
            number_N=within_N + 1,
            visible_N=len(fmt.before) + samples.sessions.visible_N[session_N],
            begin_N=history_B[row_N] + before_N - opening_N,
            target_T=target_T,
            owner_T=owner_T,
            within_T=within_T,
        )

    def fill_history(self, tokens_BS: Ints, positions_BS: Ints, visible_BS: Ints, session_BS: Ints) -> None:
        """The instruction's beginning, where there is one, and the history: causal, at positions 0, 1, .."""
        samples, before = self.samples, len(self.fmt.before)
        tokens_BS[:, :before] = np.asarray(self.fmt.before, np.int64)
        row_L, within_L, index_L = members(samples.begin_R[self.rows_B], samples.longest_R[self.rows_B])
        tokens_BS[row_L, before + within_L] = samples.sessions.tokens_L[index_L]
        row_L, within_L, _ = members(np.zeros_like(self.rows_B), before + samples.longest_R[self.rows_B])
        positions_BS[row_L, within_L] = within_L
        visible_BS[row_L, within_L] = within_L + 1
        session_BS[row_L, within_L] = 0

    def fill_contexts(self, tokens_BS: Ints, positions_BS: Ints, visible_BS: Ints, session_BS: Ints) -> None:
        """Each session's circumstances and marker, behind the history that it sees."""
        own_C = np.arange(self.fmt.context_length)
        place_NC = self.begin_N[:, None] + own_C
        row_N1 = self.row_N[:, None]
        tokens_BS[row_N1, place_NC] = self.samples.sessions.context_NC[self.session_N]
        positions_BS[row_N1, place_NC] = self.visible_N[:, None] + own_C
        visible_BS[row_N1, place_NC] = self.visible_N[:, None]
        session_BS[row_N1, place_NC] = self.number_N[:, None]

    def fill_targets(
        self, tokens_BS: Ints, positions_BS: Ints, visible_BS: Ints, session_BS: Ints, target_BS: Ints
    ) -> Ints:
        """Every target's codes but the last, which is only ever a label; their places [T, m - 1]."""
        fmt = self.fmt
        own_j = np.arange(fmt.levels - 1)
        behind_T = fmt.context_length + self.within_T * (fmt.levels - 1)
        place_Tj = (self.begin_N[self.owner_T] + behind_T)[:, None] + own_j
        row_T1 = self.row_N[self.owner_T][:, None]
        visible_T1 = self.visible_N[self.owner_T][:, None]
        tokens_BS[row_T1, place_Tj] = self.samples.codes_Tm[self.target_T, :-1] + np.asarray(fmt.token_offsets[:-1])
        positions_BS[row_T1, place_Tj] = visible_T1 + fmt.context_length + own_j
        visible_BS[row_T1, place_Tj] = visible_T1
        session_BS[row_T1, place_Tj] = self.number_N[self.owner_T][:, None]
        target_BS[row_T1, place_Tj] = self.within_T[:, None] + 1
        return place_Tj
