"""A step's losses against a slow one: a forward per target, dictionaries for labels, sets for valid codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from contracts.behaviors import Level
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from model.training.config import LossConfig, PerLevel, SampleConfig
from model.training.losses import ldpo_loss, ntp_loss, rsp_loss
from model.training.samples import SampleTable, TrainingRow
from model.training.step import StepLosses, TrainingLosses
from model.training.valid_codes import ValidCodes

from .alone import Alone, sessions_alone, states_alone
from .toys import Toy, drawn, packed_whole, random_timeline, session, timeline

# Everything valid is a candidate and every target's prefix is decided on: nothing is left to chance.
WHOLE = LossConfig(alpha=0.7, beta=0.5, gamma=1.3, hard_candidates=1000, rsp_targets=1000, rsp_prefixes=1000)
Prefix = tuple[int, ...]


def with_losses(**changes: object) -> LossConfig:
    """WHOLE, but for these."""
    return dataclasses.replace(WHOLE, **changes)  # type: ignore[arg-type]


def samples_of(toy: Toy, config: SampleConfig, seed: int) -> SampleTable:
    users = (random_timeline(toy, seed), random_timeline(toy, seed + 5, length=4, sessions=2))
    return drawn(toy, users, config, seed)


def step(network: RankGRNetwork, toy: Toy, samples: SampleTable, config: LossConfig) -> StepLosses:
    losses = TrainingLosses(network, ValidCodes(Trie.of_catalog(toy.catalog)), config)
    found: StepLosses = losses(packed_whole(samples, toy.fmt))
    return found


class SlowStep:
    """The same losses, one target and one candidate at a time."""

    def __init__(self, network: RankGRNetwork, fmt: PromptFormat, catalog: Catalog, config: LossConfig) -> None:
        self.network = network
        self.fmt = fmt
        self.codes = catalog.codes.tolist()
        self.config = config

    def __call__(self, rows: Sequence[TrainingRow]) -> tuple[float, float, float]:
        """NTP, LDPO and RSP."""
        sessions = list(sessions_alone(self.network, rows, self.fmt))
        most = max(len(alone.target_KmD) for alone in sessions)
        pi_NK = torch.zeros(len(sessions), most, dtype=torch.float64)
        weight_NK, level_NK = torch.zeros_like(pi_NK), torch.zeros(len(sessions), most, dtype=torch.int64)
        for n, alone in enumerate(sessions):
            for k, states_mD in enumerate(alone.target_KmD):
                pi_NK[n, k] = self.log_likelihood(states_mD, alone.sample.codes_Km[k].tolist())
                level = Level(int(alone.sample.level_K[k]))
                level_NK[n, k] = int(level)
                if alone.sample.ntp_K[k]:
                    weight_NK[n, k] = self.config.ntp_weights[level]
        rsp = sum(self.rsp_of(sessions, level) for level in range(1, self.fmt.levels + 1))
        ldpo = ldpo_loss(pi_NK, level_NK, self.config.beta)
        return float(ntp_loss(pi_NK, weight_NK)), float(ldpo), float(rsp)

    def log_likelihood(self, states_mD: Tensor, codes: list[int]) -> Tensor:
        """Eq. 5."""
        parts = [
            functional.log_softmax(self.network.level_logits(state_D, level), -1)[code]
            for level, (state_D, code) in enumerate(zip(states_mD, codes, strict=True), start=1)
        ]
        return torch.stack(parts).sum()

    def labels_of(self, alone: Alone) -> dict[Prefix, float]:
        """y of every prefix of a shown target: the strongest label of any target behind it."""
        label_of: dict[Prefix, float] = {}
        sample = alone.sample
        for codes, level, shown in zip(sample.codes_Km, sample.level_K, sample.ntp_K, strict=True):
            own = self.config.rsp_labels[Level(int(level))] if shown else 0.0
            for depth in range(1, self.fmt.levels + 1):
                prefix = tuple(codes[:depth].tolist())
                label_of[prefix] = max(label_of.get(prefix, 0.0), own)
        return label_of

    def rsp_of(self, sessions: list[Alone], level: int) -> Tensor:
        """Level 1: one decision a session; deeper: one a target, under the codes before."""
        logits: list[Tensor] = []
        labels: list[float] = []
        weights: list[float] = []
        decisions = 0
        for alone in sessions:
            label_of = self.labels_of(alone)
            chosen = [0] if level == 1 else range(len(alone.target_KmD))
            for k in chosen:
                decisions += 1
                before = alone.sample.codes_Km[k][: level - 1].tolist()
                keys_TD = torch.cat([alone.keys_HD, alone.target_KmD[k][:level]])
                true = sum(own for prefix, own in label_of.items() if prefix[:-1] == tuple(before))
                for code in sorted({codes[level - 1] for codes in self.codes if codes[: level - 1] == before}):
                    weights.append(1.0 / max(true, 1.0))
                    embedding_1D = self.network.code_embeddings(level)[code][None]
                    logits.append(self.network.rank_head.score_logits(embedding_1D, keys_TD)[0])
                    labels.append(label_of.get((*before, code), 0.0))
        label_C = torch.tensor(labels, dtype=torch.float64)
        weight_C = torch.tensor(weights, dtype=torch.float64)
        return rsp_loss(torch.stack(logits), label_C, weight_C, decisions)


@pytest.mark.parametrize("sizes", [(16,), (4, 5), (3, 3, 3)], ids=["m=1", "m=2", "m=3"])
@pytest.mark.parametrize("layout", ["items", "items_behaviors"])
def test_a_step_equals_the_slow_one(sizes: tuple[int, ...], layout: str) -> None:
    toy = Toy(sizes, layout)
    network = toy.shaken()
    samples = samples_of(toy, SampleConfig(targets=4, sampled_negatives=2, row_sessions=3), seed=3)
    rows = list(samples.rows())
    with torch.no_grad():
        found = step(network, toy, samples, WHOLE)
        ntp, ldpo, rsp = SlowStep(network, toy.fmt, toy.catalog, WHOLE)(rows)
    # The scenario holds what it is about: negatives, and targets that share a prefix.
    assert not all(sample.ntp_K.all() for row in rows for sample in row.sessions)
    # Labels are float32: 0.1 is not exact.
    assert float(found.ntp) == pytest.approx(ntp, rel=1e-6)
    assert float(found.ldpo) == pytest.approx(ldpo, rel=1e-9)
    assert float(found.rsp) == pytest.approx(rsp, rel=1e-6)
    assert float(found.total) == pytest.approx(ntp + 0.7 * ldpo + 1.3 * rsp, rel=1e-6)


@pytest.mark.parametrize("layout", ["items", "items_behaviors"])
def test_the_history_is_learnt_item_by_item_given_what_is_before(layout: str) -> None:
    toy = Toy((4, 5), layout)
    network = toy.shaken()
    samples = samples_of(toy, SampleConfig(row_sessions=3), seed=5)
    terms, codes = 0.0, 0
    with torch.no_grad():
        found = step(network, toy, samples, with_losses(history=0.5))
        without = step(network, toy, samples, WHOLE)
        for row in samples.rows():
            states_LD = states_alone(network, row.history_L)
            for place, token in enumerate(row.history_L.tolist()):
                level = toy.fmt.level_of_token(token)
                if place and level is not None:
                    logp_V = functional.log_softmax(network.level_logits(states_LD[place - 1], level + 1), -1)
                    terms -= float(logp_V[token - toy.fmt.token_offsets[level]])
                    codes += 1
    assert float(found.history) == pytest.approx(terms / (codes / 2), rel=1e-6)
    assert float(found.total) == pytest.approx(float(without.total) + 0.5 * float(found.history), rel=1e-6)
    assert float(without.history) == 0.0


def shared_prefixes() -> tuple[Toy, SampleTable]:
    """One session whose targets are (a, b), (a, c) and (d, e) in codes, nothing sampled."""
    toy = Toy((3, 4), items=12)
    by_first: dict[int, list[int]] = {}
    for item, first in zip(toy.catalog.item_id.tolist(), toy.catalog.codes[:, 0].tolist(), strict=True):
        by_first.setdefault(first, []).append(item)
    targets = [*by_first[0][:2], by_first[1][0]]
    user = timeline([1, 2, 3], [session(3, targets, [Level.PURCHASE, Level.EXPOSURE, Level.CLICK])])
    return toy, drawn(toy, [user])


def test_labels_are_multi_hot_over_the_session_then_over_the_shared_prefix() -> None:
    toy, samples = shared_prefixes()
    rows = list(samples.rows())
    network = toy.shaken()
    [alone] = sessions_alone(network, rows, toy.fmt)
    slow = SlowStep(network, toy.fmt, toy.catalog, WHOLE)
    (a, b), (a_again, c), (d, e) = alone.sample.codes_Km.tolist()
    assert a == a_again
    weak = WHOLE.rsp_labels[Level.EXPOSURE]
    # Level 1 asks for both first codes at once; under `a` both of its targets count, each with its own label.
    assert slow.labels_of(alone) == {(a,): 1.0, (d,): 1.0, (a, b): 1.0, (a, c): weak, (d, e): 1.0}
    with torch.no_grad():
        assert float(step(network, toy, samples, WHOLE).rsp) == pytest.approx(slow(rows)[2], rel=1e-6)


def candidates_of(network: RankGRNetwork, toy: Toy, states_mD: Tensor, codes: list[int]) -> list[int]:
    """The true code and the model's best of those that may follow the codes before it."""
    level, before = len(codes), codes[:-1]
    valid = sorted({own[level - 1] for own in toy.catalog.codes.tolist() if own[: level - 1] == before})
    logit_V = network.level_logits(states_mD[level - 1], level)
    return sorted({codes[-1], max(valid, key=lambda code: float(logit_V[code]))})


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_a_candidate_however_few_there_are(seed: int) -> None:
    toy = Toy(seed=seed)
    network = toy.shaken()
    samples = samples_of(toy, SampleConfig(targets=1, sampled_negatives=0, row_sessions=3), seed)
    # Every target counts fully, so each decision's candidates are its truth and the model's own best.
    every = PerLevel.all(1.0)
    config = with_losses(hard_candidates=1, random_candidates=0, rsp_labels=every)
    expected = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        found = step(network, toy, samples, config)
        alone = list(sessions_alone(network, list(samples.rows()), toy.fmt))
        for level in (1, 2):
            for each in alone:
                codes = each.sample.codes_Km[0].tolist()
                codes_C = candidates_of(network, toy, each.target_KmD[0], codes[:level])
                keys_TD = torch.cat([each.keys_HD, each.target_KmD[0][:level]])
                logit_C = network.rank_head.score_logits(network.code_embeddings(level)[codes_C], keys_TD)
                label_C = torch.tensor([float(code == codes[level - 1]) for code in codes_C]).to(logit_C)
                expected = expected + rsp_loss(logit_C, label_C, torch.ones_like(logit_C), len(alone))
    assert float(found.rsp) == pytest.approx(float(expected), rel=1e-6)


def test_more_true_codes_than_candidates_are_all_candidates() -> None:
    toy = Toy((16,))
    network = toy.shaken()
    user = timeline([1, 2], [session(2, [3, 4, 5], [Level.CLICK] * 3)])
    samples = drawn(toy, [user], SampleConfig(sampled_negatives=0))
    config = with_losses(hard_candidates=1, random_candidates=0)
    with torch.no_grad():
        found = step(network, toy, samples, config)
        [alone] = sessions_alone(network, list(samples.rows()), toy.fmt)
        true = set(alone.sample.codes_Km[:, 0].tolist())
        [best] = {*candidates_of(network, toy, alone.prompt_LD[-1:], [min(true)]), *true} - true or {min(true)}
        code_C = torch.tensor(sorted(true | {best}))
        keys_TD = torch.cat([alone.keys_HD, alone.prompt_LD[-1:]])
        logit_C = network.rank_head.score_logits(network.code_embeddings(1)[code_C], keys_TD)
        label_C = torch.tensor([float(code in true) for code in code_C.tolist()]).to(logit_C)
        # Three true codes: the session counts as one with a single one does.
        expected = rsp_loss(logit_C, label_C, torch.full_like(logit_C, 1 / 3), 1)
    assert float(found.rsp) == pytest.approx(float(expected), rel=1e-6)


def test_sampled_negatives_pull_on_ldpo_but_never_count_in_ntp_or_as_true() -> None:
    toy = Toy()
    network = toy.shaken()
    user = timeline([1, 2, 3], [session(3, [4], [Level.CLICK])])
    plain, sampled = (
        drawn(toy, [user], config, seed=1)
        for config in (SampleConfig(sampled_negatives=0), SampleConfig(sampled_negatives=3))
    )
    assert len(sampled.level_T) > 1
    # Weights that would let pseudo-exposures in, had somebody been shown them.
    every = PerLevel.all(1.0)
    config = with_losses(ntp_weights=every, rsp_labels=every)
    with torch.no_grad():
        without, with_negatives = (step(network, toy, samples, config) for samples in (plain, sampled))
    assert float(with_negatives.ntp) == pytest.approx(float(without.ntp), rel=1e-9)
    assert float(without.ldpo) == 0.0
    assert float(with_negatives.ldpo) > 0.0
    with torch.no_grad():
        slow = SlowStep(network, toy.fmt, toy.catalog, config)
        assert float(with_negatives.rsp) == pytest.approx(slow(list(sampled.rows()))[2], rel=1e-6)


def test_every_weight_of_the_network_gets_a_gradient() -> None:
    toy = Toy()
    network = toy.network()
    step(network, toy, samples_of(toy, SampleConfig(), seed=2), LossConfig()).total.backward()  # type: ignore[no-untyped-call]
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert bool(torch.isfinite(weight.grad).all()), name
        assert bool(weight.grad.any()), name
