"""SASRec (arXiv 1808.09781) with a softmax over all items: a causal transformer on item ids, embeddings tied.

The strong plain sequence model; it knows nothing of texts, levels or semantic ids.
"""

# Shapes: B users, T events (padded behind, 0 in front where nothing was before), D width, V items, P positions with a
# next item.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contracts.errors import BadDataSet
from contracts.progress import Progress
from model.baselines.lists import Lists
from model.baselines.train_rows import TrainRows
from model.data.arrays import Int64
from model.data.timelines import HeldOut
from model.evaluation.evaluate import evaluate
from model.evaluation.recommender import Ranking
from model.network.dropout import Dropout
from model.training.kept_memory import freed_memory_kept

INITIAL_SPREAD = 0.02


@dataclass(frozen=True, slots=True)
class SasRecConfig:
    """Width, depth and budget.

    length: events that a state sees at most.  patience: epochs without a better validation before the best weights are
    taken.  stop_on: the metric that validation looks at, NDCG@10 as the protocols of such logs have it.
    """

    width: int = 128
    layers: int = 2
    heads: int = 2
    dropout: float = 0.5
    length: int = 50
    epochs: int = 15
    patience: int = 4
    batch_events: int = 256
    learning_rate: float = 1e-3
    stop_on: str = "NDCG@10"
    seed: int = 0


class SasRecNetwork(nn.Module):
    """Events [B, T] to states [B, T, D].

    Row 0 of `items` is the sign that nothing was before, and padding; row i + 1 is the item i of the vocabulary.
    """

    def __init__(self, vocabulary: int, config: SasRecConfig) -> None:
        super().__init__()
        self.items = nn.Embedding(vocabulary + 1, config.width)
        self.places = nn.Embedding(config.length, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)
        for embedding in (self.items, self.places):
            nn.init.normal_(embedding.weight, std=INITIAL_SPREAD)

    def forward(self, event_BT: Tensor) -> Tensor:
        """States [B, T, D]: each sees itself and what was before it."""
        # Tied embeddings are small; scaled as in the paper they are not drowned by what the blocks add.
        scale = self.items.weight.shape[1] ** 0.5
        state_BTD = scale * self.items(event_BT) + self.places.weight[: event_BT.shape[1]]
        state_BTD = self.dropout(state_BTD)
        for block in self.blocks:
            state_BTD = block(state_BTD)
        found: Tensor = self.norm(state_BTD)
        return found

    def logits(self, state_PD: Tensor) -> Tensor:
        """Scores of all items [P, V]."""
        return state_PD @ self.items.weight[1:].T


class _Block(nn.Module):
    """Attention and a feed-forward layer, each normalised before and added."""

    def __init__(self, config: SasRecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.drop = config.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.qkv, self.out = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        self.up, self.down = nn.Linear(config.width, 4 * config.width), nn.Linear(4 * config.width, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, state_BTD: Tensor) -> Tensor:
        batch, length, width = state_BTD.shape
        split = (batch, length, self.heads, width // self.heads)
        query, key, value = (
            part.reshape(split).transpose(1, 2) for part in self.qkv(self.norm_1(state_BTD)).chunk(3, -1)
        )
        drop = self.drop if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, dropout_p=drop, is_causal=True)
        state_BTD = state_BTD + self.dropout(self.out(seen.transpose(1, 2).reshape(state_BTD.shape)))
        inner = self.dropout(F.gelu(self.up(self.norm_2(state_BTD))))
        grown: Tensor = state_BTD + self.dropout(self.down(inner))
        return grown


@dataclass(frozen=True, slots=True, eq=False)
class SasRec:
    """A fitted network; items it was never trained on come behind all others, by popularity."""

    network: SasRecNetwork
    vocabulary: Int64
    """[V] rows of the candidates that training events name."""
    rows: TrainRows
    longest: int
    length: int
    epochs: int
    """Epochs of training behind these weights."""

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One list each."""
        events = [_begun(self._events(user))[-self.length :] for user in users]
        make = Lists(self.rows, self.longest)
        with torch.inference_mode():
            state_BTD = self.network(_padded(events))
            last_B = torch.tensor([len(own) - 1 for own in events])
            score_BV = self.network.logits(state_BTD[torch.arange(len(events)), last_B])
            best = score_BV.topk(min(self.longest, score_BV.shape[1]), -1)
        return [
            make(self.vocabulary[code_R], score_R)
            for code_R, score_R in zip(best.indices.numpy(), best.values.numpy(), strict=True)
        ]

    def _events(self, user: HeldOut) -> Int64:
        row_H = self.rows.rows_of(user.items)
        code_H = np.minimum(np.searchsorted(self.vocabulary, row_H), len(self.vocabulary) - 1)
        known: Int64 = code_H[self.vocabulary[code_H] == row_H] + 1
        return known


def fit_sasrec(
    rows: TrainRows, validation: Sequence[HeldOut], config: SasRecConfig, longest: int, progress: Progress
) -> SasRec:
    """Train until `epochs`, or until validation stands still; without validation users all epochs are run.

    Raises BadDataSet where no user has two events.
    """
    if not has_successions(rows):
        raise BadDataSet("no user has two training events: a sequence model has nothing to learn")
    vocabulary = np.unique(rows.item)
    sequences = _sequences(rows, vocabulary, config.length)
    rng = np.random.default_rng(config.seed)
    with torch.random.fork_rng(devices=[]), freed_memory_kept():
        torch.manual_seed(config.seed)
        network = SasRecNetwork(len(vocabulary), config)
        fitted = SasRec(network, vocabulary, rows, longest, config.length, config.epochs)
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
        best, best_epoch, kept = -1.0, 0, _weights(network)
        progress.begin("training SASRec", config.epochs)
        for epoch in range(1, config.epochs + 1):
            loss = _epoch(network, sequences, optimiser, config, rng)
            found = _validate(fitted, validation, config.stop_on)
            progress.advance(1, f"loss {loss:.3f}" + ("" if found is None else f" {config.stop_on} {found:.4f}"))
            if found is None:
                continue
            if found > best:
                best, best_epoch, kept = found, epoch, _weights(network)
            elif epoch - best_epoch >= config.patience:
                break
        if validation:
            network.load_state_dict(kept)
            fitted = replace(fitted, epochs=best_epoch)
        network.eval()
    return fitted


def has_successions(rows: TrainRows) -> bool:
    """Whether any user has two training events."""
    return bool((np.diff(rows.user) == 0).any())


def _weights(network: SasRecNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def _sequences(rows: TrainRows, vocabulary: Int64, length: int) -> list[Int64]:
    """Per user pieces of at most `length` events, from 1, behind the event before them, or 0 where there is none.

    Every training event is thus to be predicted once an epoch: a user's only one too, and those of long histories.
    """
    code_E = np.searchsorted(vocabulary, rows.item) + 1
    starts = np.flatnonzero(np.diff(rows.user)) + 1
    return [
        begun[max(end - length, 0) : end + 1]
        for begun in map(_begun, np.split(code_E, starts))
        for end in range(len(begun) - 1, 0, -length)
    ]


def _begun(events: Int64) -> Int64:
    """Events behind the sign that nothing was before them."""
    return np.concatenate([np.zeros(1, np.int64), events])


def _epoch(
    network: SasRecNetwork,
    sequences: Sequence[Int64],
    optimiser: torch.optim.Optimizer,
    config: SasRecConfig,
    rng: np.random.Generator,
) -> float:
    network.train()
    total = targets = 0.0
    for part in _batches(sequences, config.batch_events, rng):
        event_BT = _padded([own[:-1] for own in part])
        next_BT = _padded([own[1:] for own in part])
        counts_BT = next_BT > 0
        logit_PV = network.logits(network(event_BT)[counts_BT])
        loss = F.cross_entropy(logit_PV, next_BT[counts_BT] - 1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        count = float(counts_BT.sum())
        total, targets = total + float(loss.detach()) * count, targets + count
    return total / targets


def _validate(fitted: SasRec, validation: Sequence[HeldOut], metric: str) -> float | None:
    """Mean over the truths; None where there is nobody to ask."""
    if not validation:
        return None
    fitted.network.eval()
    found = evaluate(fitted, validation, (int(metric.partition("@")[2]),), batch=256)
    return float(np.mean([metrics[metric] for metrics in found.values()]))


def _batches(sequences: Sequence[Int64], events: int, rng: np.random.Generator) -> Iterator[list[Int64]]:
    """Users of like length together, to pad little, about `events` next items a batch; batches in chance order."""
    noise = rng.random(len(sequences))
    targets = np.array([len(own) - 1 for own in sequences])
    order = np.lexsort((noise, targets))
    batch_of = (np.cumsum(targets[order]) - 1) // events
    parts = np.split(order, np.flatnonzero(np.diff(batch_of)) + 1)
    for place in rng.permutation(len(parts)):
        yield [sequences[user] for user in parts[place]]


def _padded(events: Sequence[Int64]) -> Tensor:
    """Zeros behind: causal attention never looks at them from a real place."""
    padded_BT = np.zeros((len(events), max(1, *map(len, events), 1)), np.int64)
    for row, own in enumerate(events):
        padded_BT[row, : len(own)] = own
    return torch.from_numpy(padded_BT)
