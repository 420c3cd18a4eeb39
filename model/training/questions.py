"""What RSP is asked in a step, and what the rank head answers: candidates, labels and logits per level (eqs. 12-16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contracts.behaviors import Level
from model.network.attention import wide_dtype
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys
from model.training.chance import uniform_at
from model.training.config import LossConfig
from model.training.fold import Fold
from model.training.packing import PackedBatch
from model.training.states import States
from model.training.valid_codes import ValidCodes
from model.training.wrong_prefixes import WrongPrefixes

# Axes: B rows, D width, N sessions, K targets of a session (padded), T targets, G prefixes that are decided on,
# V codes of a level, C candidate codes, L history tokens, J own keys, R heads, E width of a head, j codes of a prefix.


class Decisions(NamedTuple):
    """One level's candidates, those of all prefixes: logits, labels, what each counts [C]; the number of prefixes."""

    logit_C: Tensor
    label_C: Tensor
    weight_C: Tensor
    prefixes: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """Prefixes of one level: whose, which codes, log p of what may follow, own keys' states h_1 .. h_l, labels."""

    session_G: Tensor
    prefix_Gj: Tensor
    logp_GV: Tensor
    own_GJD: Tensor
    label_GV: Tensor
    chance_G: Tensor

    def joined(self, other: _Asked) -> _Asked:
        """Both."""
        return _Asked(
            torch.cat([self.session_G, other.session_G]),
            torch.cat([self.prefix_Gj, other.prefix_Gj]),
            torch.cat([self.logp_GV, other.logp_GV]),
            torch.cat([self.own_GJD, other.own_GJD]),
            torch.cat([self.label_GV, other.label_GV]),
            torch.cat([self.chance_G, other.chance_G]),
        )


class Questions:
    """Asks the rank head about level 1 for chosen sessions, deeper levels under the prefixes of chosen targets."""

    def __init__(self, network: RankGRNetwork, valid: ValidCodes, config: LossConfig) -> None:
        self._network = network
        self._valid = valid
        self._config = config
        self._label = torch.tensor([0.0, *(config.rsp_labels[level] for level in Level)])

    def __call__(self, batch: PackedBatch, states: States, logp: list[Tensor]) -> list[Decisions]:
        """Per level; logp: of level 1 per session [N, V], of deeper levels per target [T, V], without gradient."""
        detached = self._config.detached
        all_BSD = states.all_BSD.detach() if detached else states.all_BSD
        keys = self._network.rank_head.project(all_BSD)
        asked = [self._level_1(batch, states, logp[0])]
        asked += [self._level(batch, states, logp[level - 1], level) for level in range(2, len(logp) + 1)]
        if self._config.wrong_prefix_k and len(logp) > 1 and len(asked[0].session_G):
            asked[1] = asked[1].joined(self._wrong(batch, states, asked[0]))
        return [self._answered(batch, each, keys, level) for level, each in enumerate(asked, start=1)]

    def _level_1(self, batch: PackedBatch, states: States, logp_NV: Tensor) -> _Asked:
        session_G = batch.asked_N
        prefix_Gj = session_G.new_empty((len(session_G), 0))
        return _Asked(
            session_G=session_G,
            prefix_Gj=prefix_Gj,
            logp_GV=logp_NV[session_G],
            own_GJD=states.marker_ND[session_G][:, None],
            label_GV=self._labels(batch, session_G, prefix_Gj, 1),
            chance_G=batch.chance_N[session_G],
        )

    def _level(self, batch: PackedBatch, states: States, logp_TV: Tensor, level: int) -> _Asked:
        target_G = batch.asked_T
        session_G = batch.session_T[target_G]
        prefix_Gj = batch.codes_Tm[target_G, : level - 1]
        own_GJD = torch.cat([states.marker_ND[session_G][:, None], states.code_TjD[target_G, : level - 1]], 1)
        return _Asked(
            session_G=session_G,
            prefix_Gj=prefix_Gj,
            logp_GV=logp_TV[target_G],
            own_GJD=own_GJD,
            label_GV=self._labels(batch, session_G, prefix_Gj, level),
            chance_G=batch.chance_T[target_G],
        )

    def _wrong(self, batch: PackedBatch, states: States, first: _Asked) -> _Asked:
        """A14: the model's own best first codes that no target of the session has; whatever follows them is wrong."""
        fold = Fold.of(batch.session_T, len(batch.row_N))
        code_GK = fold(batch.codes_Tm[:, 0] + 1)[first.session_G] - 1
        # Padding is -1 here: it takes nothing.
        count_GV = torch.zeros_like(first.logp_GV, dtype=torch.int64)
        count_GV = count_GV.scatter_add(1, code_GK.clamp(min=0), (code_GK >= 0).to(torch.int64))
        taken_GV = (count_GV > 0) | ~self._valid.following(first.prefix_Gj)
        count = min(self._config.wrong_prefix_k, taken_GV.shape[1])
        best = first.logp_GV.masked_fill(taken_GV, -torch.inf).topk(count, -1)
        owner_G, place_G = torch.nonzero(best.values > -torch.inf, as_tuple=True)
        wrong = WrongPrefixes(first.session_G[owner_G], best.indices[owner_G, place_G])
        state_GD = wrong.states(self._network, batch, states)
        logit_GV = self._network.level_logits(state_GD.detach(), 2)
        logp_GV = F.log_softmax(logit_GV.to(first.logp_GV.dtype), -1).detach()
        return _Asked(
            session_G=wrong.session_G,
            prefix_Gj=wrong.code_G[:, None],
            logp_GV=logp_GV,
            own_GJD=torch.stack([states.marker_ND[wrong.session_G], state_GD], 1),
            label_GV=torch.zeros_like(logp_GV, dtype=self._label.dtype),
            chance_G=batch.chance_N[wrong.session_G] + place_G + 1,
        )

    def _answered(self, batch: PackedBatch, asked: _Asked, keys: Keys, level: int) -> Decisions:
        valid_GV = self._valid.following(asked.prefix_Gj)
        code_GC, weight_GC = self._candidates(asked, valid_GV, level)
        own_GJD = asked.own_GJD.detach() if self._config.detached else asked.own_GJD
        own = self._network.rank_head.project(own_GJD)
        logit_C = self._logits(batch, asked.session_G, code_GC, keys, own, level).flatten()
        logit_C = logit_C.to(wide_dtype(logit_C.dtype))
        label_C = asked.label_GV.gather(1, code_GC).flatten()
        # As in NTP, a session with many true items counts no more than one with a single one.
        weight_GC = weight_GC / asked.label_GV.sum(-1, keepdim=True).clamp(min=1.0)
        return Decisions(logit_C, label_C.to(logit_C.dtype), weight_GC.flatten().to(logit_C.dtype), len(code_GC))

    def _labels(self, batch: PackedBatch, session_G: Tensor, prefix_Gj: Tensor, level: int) -> Tensor:
        """y [G, V]: the strongest label of any target of the session with this prefix and that code (multi-hot).

        The state h_1 is the same for every target of a session: one label per target would contradict the others.
        """
        fold = Fold.of(batch.session_T, len(batch.row_N))
        label_NK = fold(self._label.to(batch.level_T.device)[batch.level_T] * batch.ntp_T)
        code_GK = fold(batch.codes_Tm[:, level - 1])[session_G]
        label_GK = label_NK[session_G]
        for place in range(level - 1):
            label_GK = label_GK * (fold(batch.codes_Tm[:, place])[session_G] == prefix_Gj[:, place, None])
        label_GV = label_GK.new_zeros(len(session_G), self._network.config.levels[level - 1].size)
        return label_GV.scatter_reduce(1, code_GK, label_GK, "amax")

    def _candidates(self, asked: _Asked, valid_GV: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Codes [G, C] and what each counts: the truth, the model's own best (eq. 12), and some of the rest by chance.

        The truth is forced in: without it, early training would have no positives and drive every score to zero.
        What was drawn by chance stands for all of the rest, in equal shares; 0 is no candidate.
        """
        size = asked.logp_GV.shape[1]
        hard = min(self._config.hard_candidates, size)
        best_GC = asked.logp_GV.masked_fill(~valid_GV, -torch.inf).topk(hard, -1).indices
        priority_GV = uniform_at(asked.chance_G, size, salt=level)
        priority_GV = priority_GV.scatter(1, best_GC, 2.0)
        priority_GV = torch.where(asked.label_GV > 0, 3.0, priority_GV).masked_fill(~valid_GV, -1.0)
        # As many as the prefix's own truth and best need, whatever other prefixes are in the batch, and the draws.
        count_G = ((priority_GV >= 2.0).sum(-1) + self._config.random_candidates).clamp(max=size)
        most = int(count_G.max()) if len(count_G) else 1
        top = priority_GV.topk(most, -1)
        place_C = torch.arange(most, device=top.indices.device)
        used_GC = (top.values >= 0) & (place_C < count_G[:, None])
        drawn_GC = used_GC & (top.values < 1.0)
        rest_G1 = ((priority_GV >= 0) & (priority_GV < 1.0)).sum(-1, keepdim=True)
        share_G1 = rest_G1 / drawn_GC.sum(-1, keepdim=True).clamp(min=1)
        return top.indices, torch.where(drawn_GC, share_G1, 1.0) * used_GC

    def _logits(
        self, batch: PackedBatch, session_G: Tensor, code_GC: Tensor, keys: Keys, own: Keys, level: int
    ) -> Tensor:
        """The rank head, direct form: keys are the visible history's item tokens and h_1 .. h_level."""
        row_G = batch.row_N[session_G]
        longest = int(batch.visible_N.max())
        index_L = torch.arange(longest, device=row_G.device)
        mask_GL = batch.history_BS[row_G, :longest] & (index_L < batch.visible_N[session_G, None])
        mask_G1T = torch.cat([mask_GL, mask_GL.new_ones(len(row_G), own.key.shape[1])], 1)[:, None]
        seen = Keys(
            torch.cat([keys.key[row_G, :longest], own.key], 1),
            torch.cat([keys.value[row_G, :longest], own.value], 1),
        )
        embedding_VD = self._network.code_embeddings(level)
        if self._config.detached:
            embedding_VD = embedding_VD.detach()
        head = self._network.rank_head
        # Whichever is less work: a query for every code, or one for every candidate.
        few = code_GC.numel() < len(embedding_VD)
        query_GCRE = head.query(embedding_VD[code_GC]) if few else head.query(embedding_VD)[code_GC]
        return head.fused(query_GCRE, seen, mask_G1T)
