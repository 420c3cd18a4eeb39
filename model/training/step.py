"""One training step's losses: L = gamma * BCE + NTP + alpha * LDPO over a packed batch (eqs. 8, 10, 11, 16, 17)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from contracts.behaviors import Level
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys
from model.training.config import FitConfig
from model.training.losses import ldpo_loss, ntp_loss, rsp_loss
from model.training.packing import PackedBatch
from model.training.valid_codes import ValidCodes

# Axes: B rows, S tokens, D width, N sessions, K targets of a session (padded), T targets, G prefixes that RSP
# decides on, V codes of a level, C candidate codes, L history tokens, R heads, E width of a head, m levels.


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The parts and their weighted sum, scalars; `total` carries the gradient."""

    total: Tensor
    ntp: Tensor
    ldpo: Tensor
    rsp: Tensor


@dataclass(frozen=True, slots=True)
class _States:
    """What the backbone made of a batch: all states and the ones that decide on a code."""

    all_BSD: Tensor
    marker_ND: Tensor
    code_TjD: Tensor


class TrainingLosses:
    """Computes the losses of a batch; candidates of RSP are drawn with the generator it is given."""

    def __init__(self, network: RankGRNetwork, valid: ValidCodes, config: FitConfig) -> None:
        self._network = network
        self._valid = valid
        self._config = config
        levels = [0.0, *(0.0 for _ in Level)]
        self._label = torch.tensor(levels)
        self._weight = torch.tensor(levels)
        for level in Level:
            self._label[level] = config.losses.rsp_labels[level]
            self._weight[level] = config.losses.ntp_weights[level]

    def __call__(self, batch: PackedBatch, chance: torch.Generator) -> StepLosses:
        """Losses of one batch."""
        states = self._states(batch)
        logp_1_NV = F.log_softmax(self._network.level_logits(states.marker_ND, 1), -1)
        logp = [logp_1_NV] + [
            F.log_softmax(self._network.level_logits(states.code_TjD[:, level - 2], level), -1)
            for level in range(2, batch.codes_Tm.shape[1] + 1)
        ]
        pi_T = logp_1_NV[batch.session_T, batch.codes_Tm[:, 0]]
        for level, logp_TV in enumerate(logp[1:], start=2):
            pi_T = pi_T + logp_TV.gather(1, batch.codes_Tm[:, level - 1 : level])[:, 0]
        fold = _Fold.of(batch.session_T, len(batch.row_N))
        level_NK = fold(batch.level_T)
        pi_NK = fold(pi_T)
        ntp = ntp_loss(pi_NK, fold(self._weight[batch.level_T] * batch.ntp_T))
        ldpo = ldpo_loss(pi_NK, level_NK, self._config.losses.beta)
        rsp = self._rsp(batch, states, [part.detach() for part in logp], chance)
        losses = self._config.losses
        return StepLosses(ntp + losses.alpha * ldpo + losses.gamma * rsp, ntp, ldpo, rsp)

    def _states(self, batch: PackedBatch) -> _States:
        all_BSD = self._network(batch.tokens_BS, batch.positions_BS, batch.mask_BSS[:, None])
        row_T = batch.row_N[batch.session_T]
        return _States(
            all_BSD=all_BSD,
            marker_ND=all_BSD[batch.row_N, batch.marker_N],
            code_TjD=all_BSD[row_T[:, None], batch.place_Tm],
        )

    def _rsp(self, batch: PackedBatch, states: _States, logp: list[Tensor], chance: torch.Generator) -> Tensor:
        """Eq. 16 over all levels: level 1 for every session, deeper ones under the prefixes of chosen targets."""
        head = self._network.rank_head
        keys = head.project(states.all_BSD)
        own_1 = head.project(states.marker_ND)
        loss = torch.zeros(())
        for level in range(1, batch.codes_Tm.shape[1] + 1):
            if level == 1:
                session_G = torch.randperm(len(batch.row_N), generator=chance)[: self._config.losses.rsp_prefixes]
                prefix_Gj = torch.empty((len(session_G), 0), dtype=torch.int64)
                logp_GV = logp[0][session_G]
                own = Keys(own_1.key[session_G][:, None], own_1.value[session_G][:, None])
            else:
                chosen_G = self._chosen(batch, chance)
                session_G = batch.session_T[chosen_G]
                prefix_Gj = batch.codes_Tm[chosen_G, : level - 1]
                logp_GV = logp[level - 1][chosen_G]
                deeper = head.project(states.code_TjD[chosen_G, : level - 1])
                own = Keys(
                    torch.cat([own_1.key[session_G][:, None], deeper.key], 1),
                    torch.cat([own_1.value[session_G][:, None], deeper.value], 1),
                )
            valid_GV = self._valid.following(prefix_Gj)
            label_GV = self._labels(batch, session_G, prefix_Gj, level)
            code_GC, usable_GC = self._candidates(logp_GV, label_GV, valid_GV, chance)
            logit_GC = self._logits(batch, session_G, code_GC, keys, own, level)
            loss = loss + rsp_loss(logit_GC, label_GV.gather(1, code_GC), usable_GC)
        return loss

    def _chosen(self, batch: PackedBatch, chance: torch.Generator) -> Tensor:
        """At most `rsp_targets` targets a session and `rsp_prefixes` in all, by chance, strong ones first."""
        strong_T = self._label[batch.level_T] * batch.ntp_T
        priority_T = strong_T + 0.5 * torch.rand(len(strong_T), generator=chance)
        order_T = torch.argsort(priority_T, descending=True)
        order_T = order_T[torch.argsort(batch.session_T[order_T], stable=True)]
        session_T = batch.session_T[order_T]
        first_T = torch.searchsorted(session_T, session_T)
        chosen_G = order_T[torch.arange(len(order_T)) - first_T < self._config.losses.rsp_targets]
        return chosen_G[torch.randperm(len(chosen_G), generator=chance)[: self._config.losses.rsp_prefixes]]

    def _labels(self, batch: PackedBatch, session_G: Tensor, prefix_Gj: Tensor, level: int) -> Tensor:
        """y [G, V]: the strongest label of any target of the session with this prefix and that code (multi-hot).

        The state h_1 is the same for every target of a session: one label per target would contradict the others.
        """
        fold = _Fold.of(batch.session_T, len(batch.row_N))
        label_NK = fold(self._label[batch.level_T] * batch.ntp_T)
        code_GK = fold(batch.codes_Tm[:, level - 1])[session_G]
        label_GK = label_NK[session_G]
        for place in range(level - 1):
            label_GK = label_GK * (fold(batch.codes_Tm[:, place])[session_G] == prefix_Gj[:, place, None])
        label_GV = torch.zeros(len(session_G), self._network.config.levels[level - 1].size)
        return label_GV.scatter_reduce(1, code_GK, label_GK, "amax")

    def _candidates(
        self, logp_GV: Tensor, label_GV: Tensor, valid_GV: Tensor, chance: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Codes [G, C] and which of them count: the truth, the model's own best (eq. 12), and some by chance.

        The truth is forced in: without it, early training would have no positives and drive every score to zero.
        """
        hard = min(self._config.losses.hard_candidates, logp_GV.shape[1])
        true = int((label_GV > 0).sum(-1).max())
        count = min(max(hard + self._config.losses.random_candidates, true), logp_GV.shape[1])
        masked_GV = logp_GV.masked_fill(~valid_GV, -torch.inf)
        best_GC = masked_GV.topk(hard, -1).indices
        priority_GV = torch.rand(logp_GV.shape, generator=chance)
        priority_GV.scatter_(1, best_GC, 2.0)
        priority_GV = torch.where(label_GV > 0, 3.0, priority_GV).masked_fill(~valid_GV, -1.0)
        top = priority_GV.topk(count, -1)
        return top.indices, top.values >= 0

    def _logits(
        self, batch: PackedBatch, session_G: Tensor, code_GC: Tensor, keys: Keys, own: Keys, level: int
    ) -> Tensor:
        """The rank head, direct form: keys are the visible history's item tokens and h_1 .. h_level."""
        row_G = batch.row_N[session_G]
        longest = int(batch.visible_N.max())
        index_L = torch.arange(longest)
        mask_GL = batch.history_BS[row_G, :longest] & (index_L < batch.visible_N[session_G, None])
        mask_G1T = torch.cat([mask_GL, mask_GL.new_ones(len(row_G), own.key.shape[1])], 1)[:, None]
        seen = Keys(
            torch.cat([keys.key[row_G, :longest], own.key], 1),
            torch.cat([keys.value[row_G, :longest], own.value], 1),
        )
        query_GCRE = self._network.rank_head.query(self._network.code_embeddings(level))[code_GC]
        return self._network.rank_head.fused(query_GCRE, seen, mask_G1T)


@dataclass(frozen=True, slots=True)
class _Fold:
    """Per-target values [T] into padded rows per session [N, K]; padding is 0."""

    session_T: Tensor
    place_T: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, session_T: Tensor, sessions: int) -> _Fold:
        place_T = torch.arange(len(session_T)) - torch.searchsorted(session_T, session_T)
        return cls(session_T, place_T, (sessions, int(place_T.max()) + 1))

    def __call__(self, value_T: Tensor) -> Tensor:
        return value_T.new_zeros(self.shape).index_put((self.session_T, self.place_T), value_T)
