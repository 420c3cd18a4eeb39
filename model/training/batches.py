"""One epoch of batches: blocks and rows in chance order, rows of like length together, RSP's questions chosen.

The same seed and epoch give the same batches, for one process or for many: all draw them, each packs its own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.config import FitConfig, LossConfig
from model.training.packing import Asked, PackedBatch, pack
from model.training.ragged import Ints, bounds_of, members
from model.training.samples import SampleTable, draw_samples
from model.training.session_table import SessionTable

# Axes: R rows, B rows of a batch, N sessions, T targets, G chosen ones.

# Enough rows to find some of like length, few enough that a batch is a mixture of users.
STRETCH_ROWS = 2048


class Blocks(Protocol):
    """The users to learn from, in blocks; only the block that is asked for needs to be in memory.

    A tuple of tables is one, `LogBlocks` another.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> SessionTable: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are learnt from together, whatever the number of processes."""

    samples: SampleTable
    rows_B: Ints
    asked: Asked

    @property
    def tokens(self) -> int:
        """Tokens that teach, padding left out."""
        return int(self.samples.tokens_R[self.rows_B].sum())

    def packed(self, fmt: PromptFormat, rank: int = 0, processes: int = 1) -> PackedBatch:
        """The share of one process: every so manieth row."""
        own_B = self.rows_B[rank::processes]
        if len(own_B):
            return pack(self.samples, own_B, fmt, self.asked)
        return pack(self.samples, self.rows_B[:1], fmt, self.asked).as_idle()


def epoch(
    blocks: Blocks, fmt: PromptFormat, catalog: Catalog, config: FitConfig, rng: np.random.Generator
) -> Iterator[Batch]:
    """All batches of an epoch."""
    for number in rng.permutation(len(blocks)):
        samples = draw_samples(blocks[int(number)], fmt, catalog, config.samples, rng)
        for rows_B in _of_like_length(samples, config.optimiser.batch_tokens, rng):
            yield Batch(samples, rows_B, ask(samples, rows_B, config.losses))


def _of_like_length(samples: SampleTable, most_tokens: int, rng: np.random.Generator) -> Iterator[Ints]:
    order_R = rng.permutation(len(samples))
    for start in range(0, len(order_R), STRETCH_ROWS):
        stretch_R = order_R[start : start + STRETCH_ROWS]
        # Stable: chance decides among rows of one length, so that no two users always share a batch.
        stretch_R = stretch_R[np.argsort(samples.tokens_R[stretch_R], kind="stable")]
        batches = np.split(stretch_R, _ends(samples.tokens_R[stretch_R], most_tokens))
        for place in rng.permutation(len(batches)):
            yield batches[place]


def _ends(tokens_R: Ints, most_tokens: int) -> list[int]:
    """Where a new batch begins: rows rise in length, and a batch is as wide as its longest."""
    ends, start = [], 0
    for place, tokens in enumerate(tokens_R.tolist()):
        if place > start and tokens * (place + 1 - start) > most_tokens:
            ends.append(place)
            start = place
    return ends


def ask(samples: SampleTable, rows_B: Ints, losses: LossConfig) -> Asked:
    """At most rsp_prefixes sessions and as many targets, at most rsp_targets of a session, strong ones first."""
    first_B = samples.first_R[rows_B]
    session_N = members(first_B, samples.first_R[rows_B + 1] - first_B).index_F
    first_N = samples.first_N[session_N]
    owner_T, _, target_T = members(first_N, samples.first_N[session_N + 1] - first_N)
    label_G = np.array([0.0, *losses.rsp_labels.by_strength()])
    strong_T = label_G[samples.level_T[target_T]] * samples.ntp_T[target_T]
    priority_T = strong_T + 0.5 * _uniform(samples.chance_T[target_T])
    order_T = np.lexsort((-priority_T, owner_T))
    place_T = np.arange(len(order_T)) - bounds_of(owner_T, len(session_N))[owner_T[order_T]]
    chosen_G = target_T[order_T[place_T < losses.rsp_targets]]
    return Asked(
        sessions=np.sort(_least(session_N, samples.chance_N, losses.rsp_prefixes)),
        targets=np.sort(_least(chosen_G, samples.chance_T, losses.rsp_prefixes)),
    )


def _uniform(chance_T: Ints) -> NDArray[np.float64]:
    return chance_T / 2.0**63


def _least(numbers_G: Ints, chance: Ints, most: int) -> Ints:
    """At most so many of them, by chance; their low bits, for `_uniform` has looked at the high ones."""
    return numbers_G[np.argsort(chance[numbers_G] & 0xFFFFFFFF, kind="stable")[:most]]
