"""RankGR's losses (arXiv 2602.08575): NTP (eq. 10), LDPO (eq. 8), and the labels of the rank head's BCE (eq. 16).

Each is a pure function of scores; tests hold them against float64 loops over the equations.  Where a batch is spread
over several processes, `over` is the divisor of the whole batch: the parts of all of them then add up to its loss.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Axes: N sessions, K targets of a session (padded), C candidate codes.


def ntp_sessions(weight_NK: Tensor) -> Tensor:
    """How many sessions have a term in NTP, a scalar."""
    return (weight_NK.sum(-1) > 0).sum()


def ntp_loss(pi_NK: Tensor, weight_NK: Tensor, over: Tensor | None = None) -> Tensor:
    """Eq. 10: -log-likelihood of the positive items, weighted mean within a session, then mean over sessions.

    pi_NK: summed log-probabilities of the items' codes (eq. 5); weight_NK: 0 where padded or not a positive.
    """
    total_N = weight_NK.sum(-1)
    mean_N = (-pi_NK * weight_NK).sum(-1) / total_N.clamp(min=1e-9)
    divisor = ntp_sessions(weight_NK) if over is None else over
    return torch.where(total_N > 0, mean_N, 0.0).sum() / divisor.clamp(min=1)


def ldpo_sessions(level_NK: Tensor) -> Tensor:
    """How many sessions hold items of different levels, and thus a term in LDPO, a scalar."""
    return _lower(level_NK).any(-1).any(-1).sum()


def _lower(level_NK: Tensor) -> Tensor:
    """bool [N, K, K]: whether the last is an item of a strictly lower level."""
    valid_NK = level_NK > 0
    return valid_NK[:, None, :] & (level_NK[:, None, :] < level_NK[:, :, None])


def ldpo_loss(pi_NK: Tensor, level_NK: Tensor, beta: float, over: Tensor | None = None) -> Tensor:
    """Eq. 8: every item of level j + 1 against all items of strictly lower levels, peers never against each other.

    level_NK: 0 where padded.  Terms whose lower set is empty are left out; the rest are averaged over items within
    a session, then over the sessions that have any.  No reference model, as in the paper.
    """
    lower_NKK = _lower(level_NK)
    scaled_NK = beta * pi_NK
    others_NKK = scaled_NK[:, None, :].expand(lower_NKK.shape).masked_fill(~lower_NKK, -torch.inf)
    has_NK = lower_NKK.any(-1)
    # logsumexp of an empty set is -inf and its gradient NaN: give those rows a harmless finite set instead.
    safe_NKK = torch.where(has_NK[..., None], others_NKK, 0.0)
    term_NK = F.softplus(torch.logsumexp(safe_NKK, -1) - scaled_NK)
    count_N = has_NK.sum(-1)
    mean_N = torch.where(has_NK, term_NK, 0.0).sum(-1) / count_N.clamp(min=1)
    divisor = (count_N > 0).sum() if over is None else over
    return mean_N.sum() / divisor.clamp(min=1)


def rsp_loss(logit_C: Tensor, label_C: Tensor, weight_C: Tensor, over: Tensor | float) -> Tensor:
    """Eq. 16: the BCE summed over a decision's candidates, mean over the `over` decisions they belong to.

    weight_C: how many candidates each stands for; 0: none.  Candidates that were drawn from many count for all of
    them, so that a score keeps its meaning, the probability that the code is a true one, whichever way the code came
    in: weighted otherwise, codes that are seldom asked about end up with scores that are too high, and RSP's order
    puts them before the model's own best.
    """
    each_C = F.binary_cross_entropy_with_logits(logit_C, label_C, reduction="none")
    divisor = torch.as_tensor(over, dtype=each_C.dtype, device=each_C.device)
    return torch.where(weight_C > 0, weight_C * each_C, 0.0).sum() / divisor.clamp(min=1)
