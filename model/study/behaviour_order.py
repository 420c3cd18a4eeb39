"""What LDPO does to the order of behaviours, shown where a log has no order: users are sets of items, no sequence.

A user is the mean of what the user's other events say; pi(i) is log p(i | user), a softmax over all items: eq. 5 with
one level of codes, one per item.  The losses are training's own.  Called by `rankgr behaviour-order`; makes no bundle.
"""

# Shapes: U users, N items, B users of a batch, K targets of a user, D factors, P pairs of behaviours.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from contracts.errors import BadDataSet
from contracts.progress import Progress
from model.data.arrays import Int64
from model.data.data_set import DataSet
from model.data.log import InteractionLog, Split
from model.evaluation.bootstrap import Interval, intervals
from model.training.losses import ldpo_loss, ntp_loss

# Weakest first.  A cart counts as a click elsewhere (contracts.behaviors); here the log tells the three apart.
BEHAVIOURS = ("click", "cart", "purchase")
PAIRS = (("purchase", "cart"), ("purchase", "click"), ("cart", "click"))
SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class OrderConfig:
    """One training: alpha 0 is NTP alone.  Per user, epoch and behaviour at most `each` items are drawn."""

    alpha: float = 1.0
    beta: float = 0.5
    factors: int = 64
    epochs: int = 12
    batch_users: int = 256
    learning_rate: float = 1e-2
    each: int = 3
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutBehaviours:
    """Users with one held-out item of every behaviour, all different: rows into the items, [U] each."""

    user: Int64
    item: dict[str, Int64]


@dataclass(frozen=True, slots=True, eq=False)
class OrderResult:
    """Per pair of behaviours 1.0 where the stronger one's held-out item is ranked above, [U, P]; and HR@K, [U]."""

    right_UP: NDArray[np.float64]
    hit_U: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """What users did in training, each event once: item rows and strengths 1 .. 3, sorted by user."""

    user: Int64
    item: Int64
    strength: Int64
    strongest: NDArray[np.bool_]
    """Whether it is the strongest of its user with its item: these are targets, the weaker ones never."""
    bounds: Int64
    """[U + 1] where each user's pairs begin."""
    items: Int64
    """[N] sorted ids."""

    @property
    def users(self) -> int:
        """How many."""
        return len(self.bounds) - 1


def order_of_behaviours(data: DataSet, config: OrderConfig, k: int, progress: Progress) -> OrderResult:
    """Train on train rows, rank the held-out items.

    Raises BadDataSet where the log lacks a behaviour, or no user has one held-out item of each.
    """
    trained, held = _rows(data), held_out_behaviours(data)
    torch_state = torch.random.get_rng_state()
    try:
        torch.manual_seed(config.seed)
        network = _Factors(len(trained.items), config.factors)
    finally:
        torch.random.set_rng_state(torch_state)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    rng = np.random.default_rng(config.seed)
    progress.begin(f"alpha {config.alpha:g}", config.epochs)
    for _ in range(config.epochs):
        chosen = _drawn(trained, config.each, rng)
        for part in np.array_split(rng.permutation(trained.users), max(1, trained.users // config.batch_users)):
            loss = _loss(network, part, trained, chosen, config)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        progress.advance(1, f"loss {float(loss.detach()):.3f}")
    return _ranked(network, trained, held, k)


def held_out_behaviours(data: DataSet) -> HeldOutBehaviours:
    """Of every user with held-out items of all three behaviours the first of each, where they differ."""
    log = data.log
    test = log.split == Split.TEST
    items = data.items.item_id
    first: dict[str, dict[int, int]] = {}
    for name in BEHAVIOURS:
        rows = np.flatnonzero(test & (log.behavior == _place(data, log, name)))[::-1]
        first[name] = dict(zip(log.user[rows].tolist(), np.searchsorted(items, log.item[rows]).tolist(), strict=True))
    users = [
        user
        for user in sorted(first["purchase"])
        if all(user in first[name] for name in BEHAVIOURS)
        and len({first[name][user] for name in BEHAVIOURS}) == len(BEHAVIOURS)
    ]
    if not users:
        raise BadDataSet(f"{data.name}: no user has different held-out items of {', '.join(BEHAVIOURS)}")
    return HeldOutBehaviours(
        np.array(users, np.int64),
        {name: np.array([of[user] for user in users], np.int64) for name, of in first.items()},
    )


def share_right(result: OrderResult, seed: int = 0) -> dict[str, Interval]:
    """Per pair the share of users whose order is right, with its interval; 0.5 is chance."""
    found = intervals(result.right_UP, seed)
    return {f"{strong} > {weak}": one for (strong, weak), one in zip(PAIRS, found, strict=True)}


class _Factors(nn.Module):
    """Item rows in bags to log p."""

    def __init__(self, items: int, factors: int) -> None:
        super().__init__()
        self.had = nn.EmbeddingBag(items, factors, mode="mean")
        self.items = nn.Embedding(items, factors)
        self.bias = nn.Parameter(torch.zeros(items))
        for weight in (self.had.weight, self.items.weight):
            nn.init.normal_(weight, std=SPREAD)

    def forward(self, bags: list[Int64]) -> Tensor:
        """log p [B, N]; an empty bag says nothing and leaves the bias."""
        starts = np.cumsum([0, *map(len, bags)])[:-1]
        row = np.concatenate([np.zeros(0, np.int64), *bags])
        user_BD = self.had(torch.from_numpy(row), torch.from_numpy(starts))
        return F.log_softmax(user_BD @ self.items.weight.T + self.bias, -1)


def _place(data: DataSet, log: InteractionLog, name: str) -> int:
    if name not in log.behaviors:
        raise BadDataSet(f"{data.name} has no behaviour {name}; the order of {', '.join(BEHAVIOURS)} needs all three")
    return log.behaviors.index(name)


def _rows(data: DataSet) -> _Trained:
    log = data.log
    strength_E = np.zeros(len(log.item), np.int64)
    for strength, name in enumerate(BEHAVIOURS, start=1):
        strength_E[log.behavior == _place(data, log, name)] = strength
    used = (log.split == Split.TRAIN) & (strength_E > 0)
    user_E, item_E = log.user[used].astype(np.int64), np.searchsorted(data.items.item_id, log.item[used])
    strength_E = strength_E[used]
    user_E, item_E, strength_E = np.unique(np.stack([user_E, item_E, strength_E]), axis=1)
    # The last of each user and item, since strengths rise.
    strongest = np.ones(len(user_E), np.bool_)
    strongest[:-1] = (user_E[1:] != user_E[:-1]) | (item_E[1:] != item_E[:-1])
    bounds_U = np.searchsorted(user_E, np.arange(len(log.users) + 1))
    return _Trained(user_E, item_E, strength_E, strongest, bounds_U, data.items.item_id)


def _drawn(trained: _Trained, each: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """At most `each` events of every user and behaviour, by chance."""
    candidate = np.flatnonzero(trained.strongest)
    order = candidate[np.lexsort((rng.random(len(candidate)), trained.strength[candidate], trained.user[candidate]))]
    group = trained.user[order] * (len(BEHAVIOURS) + 1) + trained.strength[order]
    within = np.arange(len(group)) - np.searchsorted(group, group)
    chosen = np.zeros(len(trained.user), np.bool_)
    chosen[order[within < each]] = True
    return chosen


def _loss(network: _Factors, part: Int64, trained: _Trained, chosen: NDArray[np.bool_], config: OrderConfig) -> Tensor:
    """Drawn events are targets, the user's other events stand for the user: a view stays where a purchase is drawn."""
    own = [slice(*span) for span in trained.bounds[np.stack([part, part + 1], 1)].tolist()]
    targets = [np.flatnonzero(chosen[span]) + span.start for span in own]
    bags = [trained.item[span][~chosen[span]] for span in own]
    width = max(1, *map(len, targets))
    item_BK, level_BK = np.zeros((len(part), width), np.int64), np.zeros((len(part), width), np.int64)
    for place, rows in enumerate(targets):
        item_BK[place, : len(rows)] = trained.item[rows]
        level_BK[place, : len(rows)] = trained.strength[rows]
    level = torch.from_numpy(level_BK)
    pi_BK = network(bags).gather(1, torch.from_numpy(item_BK))
    loss = ntp_loss(pi_BK, (level > 0).float())
    return loss + config.alpha * ldpo_loss(pi_BK, level, config.beta) if config.alpha else loss


def _ranked(network: _Factors, trained: _Trained, held: HeldOutBehaviours, k: int) -> OrderResult:
    right, hit = [], []
    with torch.inference_mode():
        for part in np.array_split(np.arange(len(held.user)), max(1, len(held.user) // 512)):
            spans = trained.bounds[np.stack([held.user[part], held.user[part] + 1], 1)].tolist()
            pi_BN = network([trained.item[start:end] for start, end in spans])
            of = {name: pi_BN.gather(1, torch.from_numpy(item[part])[:, None]) for name, item in held.item.items()}
            right.append(torch.cat([(of[strong] > of[weak]).double() for strong, weak in PAIRS], 1))
            hit.append(((pi_BN > of["purchase"]).sum(1) < k).double())
    return OrderResult(torch.cat(right).numpy(), torch.cat(hit).numpy())
