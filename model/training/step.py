"""One training step's losses: L = gamma * BCE + NTP + alpha * LDPO over a packed batch (eqs. 8, 10, 11, 16, 17)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contracts.behaviors import Level
from model.network.attention import wide_dtype
from model.network.network import RankGRNetwork
from model.training.config import LossConfig
from model.training.fold import Fold
from model.training.history_loss import history_loss
from model.training.losses import ldpo_loss, ldpo_sessions, ntp_loss, ntp_sessions, rsp_loss
from model.training.packing import PackedBatch
from model.training.questions import Decisions, Questions
from model.training.states import States
from model.training.valid_codes import ValidCodes

# Axes: B rows, S tokens, D width, N sessions, K targets of a session (padded), T targets, G prefixes that RSP
# decides on, V codes of a level, C candidate codes, j codes of a prefix, m levels.


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The parts and their weighted sum, scalars; `total` carries the gradient.

    Of several processes each has its share; the shares add up.
    """

    total: Tensor
    ntp: Tensor
    ldpo: Tensor
    rsp: Tensor
    history: Tensor


def alone(tally: Tensor) -> Tensor:
    """The sum of a tally over all processes, where there is one."""
    return tally


class TrainingLosses(nn.Module):
    """Computes the losses of a batch.

    sum_over: the sum of a small tensor over all processes, without a gradient.
    """

    def __init__(
        self,
        network: RankGRNetwork,
        valid: ValidCodes,
        config: LossConfig,
        sum_over: Callable[[Tensor], Tensor] = alone,
    ) -> None:
        super().__init__()
        self.network = network
        self._config = config
        self._sum_over = sum_over
        self._questions = Questions(network, valid, config)
        # Plain attributes, not buffers: they are no part of the weights.
        self._weight = torch.tensor([0.0, *(config.ntp_weights[level] for level in Level)])

    def forward(self, batch: PackedBatch) -> StepLosses:
        """Losses of one batch."""
        states = States.of(self.network, batch)
        logp = self._log_probabilities(batch, states)
        pi_T = logp[0][batch.session_T, batch.codes_Tm[:, 0]]
        for level, logp_TV in enumerate(logp[1:], start=2):
            pi_T = pi_T + logp_TV.gather(1, batch.codes_Tm[:, level - 1 : level])[:, 0]
        fold = Fold.of(batch.session_T, len(batch.row_N))
        pi_NK, level_NK = fold(pi_T), fold(batch.level_T)
        weight_NK = fold(self._weight.to(pi_T)[batch.level_T] * batch.ntp_T)
        decisions = self._decisions(batch, states, [part.detach() for part in logp])
        history, items = self._history(batch, states)
        counts = [ntp_sessions(weight_NK), ldpo_sessions(level_NK), items]
        tally = torch.cat([torch.stack(counts).to(pi_T), pi_T.new_tensor([each.prefixes for each in decisions])])
        whole = self._sum_over(tally * (0.0 if batch.idle else 1.0))
        ntp = ntp_loss(pi_NK, weight_NK, whole[0])
        ldpo = ldpo_loss(pi_NK, level_NK, self._config.beta, whole[1])
        history = history / whole[2].clamp(min=1)
        rsp = self._rsp(decisions, whole[3:])
        share = 0.0 if batch.idle else 1.0
        config = self._config
        total = share * (ntp + config.alpha * ldpo + config.gamma * rsp + config.history * history)
        return StepLosses(total, *(share * part.detach() for part in (ntp, ldpo, rsp, history)))

    def _log_probabilities(self, batch: PackedBatch, states: States) -> list[Tensor]:
        """Of level 1 per session [N, V], of deeper levels per target [T, V]."""
        logits = [self.network.level_logits(states.marker_ND, 1)] + [
            self.network.level_logits(states.code_TjD[:, level - 2], level)
            for level in range(2, batch.codes_Tm.shape[1] + 1)
        ]
        return [F.log_softmax(each.to(wide_dtype(each.dtype)), -1) for each in logits]

    def _history(self, batch: PackedBatch, states: States) -> tuple[Tensor, Tensor]:
        """What is asked of the history, and of how many items; nothing where it weighs nothing."""
        if not self._config.history:
            return states.all_BSD.new_zeros(()), states.all_BSD.new_zeros(())
        return history_loss(self.network, batch, states)

    def _decisions(self, batch: PackedBatch, states: States, logp: list[Tensor]) -> list[Decisions]:
        if not self._config.gamma:
            return []
        return self._questions(batch, states, logp)

    def _rsp(self, decisions: list[Decisions], whole_m: Tensor) -> Tensor:
        """Eq. 16, the levels added up."""
        loss = whole_m.new_zeros(())
        for each, over in zip(decisions, whole_m, strict=True):
            loss = loss + rsp_loss(each.logit_C, each.label_C, each.weight_C, over)
        # A process whose rows are asked nothing has a gradient all the same, of zeros: the others wait for it.
        for weight in self.network.rank_head.parameters():
            loss = loss + 0.0 * weight.sum()
        return loss
