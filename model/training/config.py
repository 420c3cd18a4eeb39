"""What a training run may vary; a choice that the paper leaves open names its row in docs/training.md.

Sections `samples`, `losses`, `optimiser` and `validation` of a configuration file (model/build/recipe.py).
Every value is checked where it is made; a wrong one is a pydantic ValidationError.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from contracts.behaviors import Level

# Typed as written: "8" is no number and 1 no truth value; a key that nobody knows is a slip.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


@dataclass(frozen=True, slots=True, config=STRICT)
class PerLevel:
    """One number for each level of feedback, weakest first."""

    pseudo_exposure: NonNegativeFloat
    exposure: NonNegativeFloat
    click: NonNegativeFloat
    purchase: NonNegativeFloat

    def __getitem__(self, level: Level) -> float:
        return self.by_strength()[level - 1]

    def by_strength(self) -> tuple[float, float, float, float]:
        """The numbers of G1 .. G4."""
        return self.pseudo_exposure, self.exposure, self.click, self.purchase

    @classmethod
    def all(cls, value: float) -> Self:
        """The same for every level: the paper's literal reading of eqs. 10 and 16."""
        return cls(value, value, value, value)


@dataclass(frozen=True, slots=True, config=STRICT)
class LossConfig:
    """L = gamma * BCE + NTP + alpha * LDPO (eqs. 8, 10, 11, 16, 17) + history * NTP over it, and what RSP is asked.

    alpha 0 switches LDPO off, gamma 0 RSP; both 0 is plain NTP.
    ntp_weights: weight of each level's items in NTP; the literal eq. 10 is 1 for all.
    history: weight of NTP over the history itself, every item of it after those before it.  The paper has none (0); it
    costs no token, and in a small log it is most of what there is to learn from.
    rsp_labels (A7): y of each level's items in the BCE; the literal eq. 16 is 1 for all.  Weak levels get less, because
    with all of them at 1 the rank head cannot tell a purchase from a pseudo-exposure, and its order is the list's.
    hard_candidates + random_candidates codes are scored per RSP decision: the model's own best (eq. 12), and some
    from the rest, so that the codes a wide lambda reaches when serving have been scored in training too.
    rsp_targets bounds the prefixes per session and deeper level, rsp_prefixes those per level of a whole batch: the
    head is small and learns from a share of them, while each costs as much as many tokens of the backbone.
    wrong_prefix_k (A14): so many of the model's own best first codes that are no target's, per session that RSP
    decides on; every code that follows one of them is wrong.
    detached (A15): RSP trains the rank head alone, its gradient reaches neither backbone nor embeddings.
    """

    alpha: NonNegativeFloat = 1.0
    beta: PositiveFloat = 0.5
    gamma: NonNegativeFloat = 1.0
    history: NonNegativeFloat = 0.0
    ntp_weights: PerLevel = PerLevel(pseudo_exposure=0.0, exposure=0.1, click=1.0, purchase=1.0)
    rsp_labels: PerLevel = PerLevel(pseudo_exposure=0.0, exposure=0.1, click=1.0, purchase=1.0)
    hard_candidates: PositiveInt = 16
    random_candidates: NonNegativeInt = 16
    rsp_targets: PositiveInt = 3
    rsp_prefixes: PositiveInt = 64
    wrong_prefix_k: NonNegativeInt = 0
    detached: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class SampleConfig:
    """How sessions become training rows.

    Per session at most `targets` items are packed, strongest levels first; sessions without any weak item get
    `sampled_negatives` random items as pseudo-exposures, which are never NTP targets.
    last_sessions: a user's last so many sessions are learnt from; 0 means all.
    user_sessions: of a user's sessions an epoch holds at most so many, drawn anew; 0 means all.  With NTP over the
    history (`losses.history`) every item is learnt all the same, and a session costs tokens that its history does not.
    weak_sessions: share of the sessions without an item of the log's strongest level that an epoch holds, drawn anew.
    Where most sessions are single clicks and requests are asked for more, they would be nearly all that is learnt from.
    """

    targets: PositiveInt = 5
    sampled_negatives: NonNegativeInt = 2
    row_sessions: PositiveInt = 16
    last_sessions: NonNegativeInt = 0
    user_sessions: NonNegativeInt = 0
    weak_sessions: Share = 1.0


@dataclass(frozen=True, slots=True, config=STRICT)
class OptimiserConfig:
    """AdamW and its budget; the budget is in tokens, so that equal seeds give equal weights on any machine.

    The rate rises linearly over warmup_share of the budget, then follows `schedule` down to final_share of itself.
    embedding_rate: the token embeddings learn at so many times the rate.  An item's own knowledge stands in the rows of
    its codes, which are asked seldom; what all share is asked at every position.
    precision: bf16 computes the matrix products in half precision, the weights stay float32.
    """

    tokens: PositiveInt = 4_000_000
    batch_tokens: PositiveInt = 2048
    learning_rate: PositiveFloat = 3e-3
    embedding_rate: PositiveFloat = 1.0
    weight_decay: NonNegativeFloat = 0.05
    beta1: Rate = 0.9
    beta2: Rate = 0.98
    warmup_share: Share = 0.05
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_share: Share = 0.05
    clip: PositiveFloat = 1.0
    precision: Literal["float32", "bf16"] = "float32"


@dataclass(frozen=True, slots=True, config=STRICT)
class ValidationConfig:
    """A look at held-out users of the validation split every so many tokens; 0: none.

    Weights of the best look are kept; after `patience` looks without a better one the training stops.
    truth "": `click` where the log has it, else `purchase`.
    """

    every_tokens: NonNegativeInt = 0
    users: PositiveInt = 500
    truth: Literal["", "click", "pv", "purchase"] = ""
    metric: Literal["HR", "NDCG"] = "NDCG"
    k: PositiveInt = 10
    patience: PositiveInt = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class FitConfig:
    """All that a fit needs besides network and data; checkpoint_tokens: how much a killed run may lose."""

    seed: NonNegativeInt = 0
    dropout: Rate = 0.0
    checkpoint_tokens: PositiveInt = 1_000_000
    optimiser: OptimiserConfig = OptimiserConfig()
    losses: LossConfig = LossConfig()
    samples: SampleConfig = SampleConfig()
    validation: ValidationConfig = ValidationConfig()
