"""What a training run may vary; every open choice of the paper that is a switch here names its row in the docs."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.behaviors import Level


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of L = BCE + NTP + alpha * LDPO (eqs. 8, 10, 11, 16, 17).

    ntp_weights: weight of each level's items in NTP; the literal eq. 10 is 1 for all.
    rsp_labels: y of each level's items in the BCE; the literal eq. 16 is 1 for all.  Weak levels get less, because
    with all of them at 1 the rank head cannot tell a purchase from a pseudo-exposure, and its order is the list's.
    """

    alpha: float = 1.0
    beta: float = 0.5
    gamma: float = 1.0
    ntp_weights: dict[Level, float] = field(
        default_factory=lambda: {
            Level.PSEUDO_EXPOSURE: 0.0,
            Level.EXPOSURE: 0.1,
            Level.CLICK: 1.0,
            Level.PURCHASE: 1.0,
        }
    )
    rsp_labels: dict[Level, float] = field(
        default_factory=lambda: {
            Level.PSEUDO_EXPOSURE: 0.0,
            Level.EXPOSURE: 0.1,
            Level.CLICK: 1.0,
            Level.PURCHASE: 1.0,
        }
    )


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """How sessions become training rows.

    Per session at most `targets` items are packed, strongest levels first; sessions without any weak item get
    `sampled_negatives` random items as pseudo-exposures, which are never NTP targets.
    """

    targets: int = 5
    sampled_negatives: int = 2
    row_sessions: int = 16


@dataclass(frozen=True, slots=True)
class FitConfig:
    """The optimiser and its budget; the budget is in tokens, so that equal seeds give equal weights.

    hard_candidates + random_candidates codes are scored per RSP decision: the model's own best (eq. 12), and some
    from the rest, so that the codes a wide lambda reaches when serving have been scored in training too.
    rsp_targets bounds the prefixes per session and deeper level, rsp_prefixes those per level of a whole batch: the
    head is small and learns from a share of them, while each costs as much as many tokens of the backbone.
    """

    seed: int = 0
    tokens: int = 4_000_000
    batch_tokens: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    clip: float = 1.0
    hard_candidates: int = 16
    random_candidates: int = 16
    rsp_targets: int = 3
    rsp_prefixes: int = 64
    losses: LossConfig = field(default_factory=LossConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
