"""An epoch's batches: every row once, of like length, the same for equal seeds, shared out among processes."""

from __future__ import annotations

import dataclasses

import numpy as np

from model.training.batches import Batch, epoch
from model.training.config import FitConfig, OptimiserConfig, SampleConfig
from model.training.session_table import SessionTable

from .toys import Toy, random_timeline

TOY = Toy()
CONFIG = FitConfig(optimiser=OptimiserConfig(batch_tokens=150), samples=SampleConfig(row_sessions=2))


def blocks(last_sessions: int = 0) -> tuple[SessionTable, ...]:
    users = [random_timeline(TOY, seed, length=3 + seed % 12) for seed in range(30)]
    parts = (users[:12], users[12:])
    return tuple(SessionTable.of(part, TOY.fmt, TOY.catalog, last_sessions) for part in parts)


def batches(seed: int = 0) -> list[Batch]:
    return list(epoch(blocks(), TOY.fmt, TOY.catalog, CONFIG, np.random.default_rng(seed)))


def test_every_row_of_every_block_comes_once() -> None:
    made = batches()
    tables = {id(batch.samples): batch.samples for batch in made}
    assert len(tables) == 2
    for key, samples in tables.items():
        rows = np.concatenate([batch.rows_B for batch in made if id(batch.samples) == key])
        assert sorted(rows.tolist()) == list(range(len(samples)))


def test_a_batch_keeps_to_its_tokens_and_wastes_few_on_padding() -> None:
    made = batches()
    for batch in made:
        width = int(batch.samples.tokens_R[batch.rows_B].max())
        assert len(batch.rows_B) == 1 or width * len(batch.rows_B) <= 150
    padded = sum(batch.packed(TOY.fmt).tokens for batch in made)
    assert sum(batch.tokens for batch in made) > 0.85 * padded


def test_equal_seeds_give_equal_batches_and_others_others() -> None:
    some, same, other = (
        [(batch.rows_B.tolist(), batch.samples.codes_Tm.tolist()) for batch in batches(seed)] for seed in (1, 1, 2)
    )
    assert some == same
    assert some != other


def test_processes_share_a_batch_without_overlap() -> None:
    for batch in batches():
        parts = [batch.packed(TOY.fmt, rank, 3) for rank in range(3)]
        used = [part for part in parts if not part.idle]
        assert len(used) == min(3, len(batch.rows_B))
        whole = batch.packed(TOY.fmt)
        assert sum(len(part.row_N) for part in used) == len(whole.row_N)
        assert sum(len(part.asked_N) for part in used) == len(whole.asked_N) == len(batch.asked.sessions)
        assert sum(len(part.asked_T) for part in used) == len(whole.asked_T)


def test_of_a_user_s_sessions_the_last_ones_can_be_asked_for() -> None:
    users = [random_timeline(TOY, seed, length=9, sessions=5) for seed in range(6)]
    timed = [
        dataclasses.replace(user, sessions=tuple(sorted(user.sessions, key=lambda session: session.cut)))
        for user in users
    ]
    everything = SessionTable.of(timed, TOY.fmt, TOY.catalog)
    last = SessionTable.of(timed, TOY.fmt, TOY.catalog, last_sessions=2)
    for user in range(len(users)):
        every = sorted((everything.begin_N + everything.visible_N)[everything.user_N == user].tolist())
        kept = sorted((last.begin_N + last.visible_N)[last.user_N == user].tolist())
        first = everything.begin_N[everything.user_N == user].min()
        assert len(kept) == 2
        assert kept[0] >= first
        assert len(every) >= 2
