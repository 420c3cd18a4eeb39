"""Training an RQ-VAE: it finds a planted market, uses its codes, repeats itself, and freezes what it trained."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from contracts.errors import BadDataSet
from model.semantic_id.rqvae.frozen import RqVae
from model.semantic_id.rqvae.network import Assignment, RqVaeNetwork
from model.semantic_id.rqvae.train import train_rqvae
from model.semantic_id.settings import RqVaeSettings

from .toys import GROUPS, grouped_features, pairs_within_groups

SHORT = RqVaeSettings(latent=8, hidden=32, steps=120, warm_up=40, batch=64, learning_rate=5e-3, restart_every=20)
FEATURES_ND, GROUP_N = grouped_features()
PAIRS_P2 = pairs_within_groups(GROUP_N)
NO_PAIRS = np.empty((0, 2), np.int64)


@pytest.fixture(scope="module")
def trained() -> RqVae:
    return train_rqvae(FEATURES_ND, PAIRS_P2, (8, 6), SHORT, seed=0)


def test_it_finds_the_planted_groups(trained: RqVae) -> None:
    codes_NM = trained.encode(FEATURES_ND)
    assert codes_NM.dtype == np.int32
    assert trained.level_sizes == (8, 6)
    of_group = [np.bincount(codes_NM[group == GROUP_N, 0], minlength=8).argmax() for group in range(GROUPS)]
    assert len(set(of_group)) == GROUPS
    pure = np.mean([codes_NM[row, 0] == of_group[group] for row, group in enumerate(GROUP_N.tolist())])
    assert pure > 0.95


def test_what_codes_say_is_near_what_went_in(trained: RqVae) -> None:
    rest_ND = FEATURES_ND - trained.decode(trained.encode(FEATURES_ND))
    assert np.square(rest_ND).sum() < 0.2 * np.square(FEATURES_ND - FEATURES_ND.mean(0)).sum()


def test_no_code_of_the_first_level_is_dead(trained: RqVae) -> None:
    assert set(trained.encode(FEATURES_ND)[:, 0].tolist()) == set(range(8))


@pytest.mark.parametrize("pairs_P2", [PAIRS_P2, NO_PAIRS], ids=["pairs", "no pairs"])
def test_the_same_seed_gives_the_same_weights_and_the_callers_chance_is_left_alone(pairs_P2: np.ndarray) -> None:
    shorter = dataclasses.replace(SHORT, steps=30, warm_up=10)
    torch.manual_seed(5)
    one, again, other = (train_rqvae(FEATURES_ND, pairs_P2, (8, 6), shorter, seed) for seed in (1, 1, 2))
    drawn = torch.rand(1)
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
    assert (one.code_vectors[0] != other.code_vectors[0]).any()
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_pairs_draw_the_rebuilt_items_together() -> None:
    # Two halves of every group are told apart by features, and joined by users.
    chance = np.random.default_rng(0)
    features_ND = chance.standard_normal((60, 8)).astype(np.float32)
    pairs_P2 = np.column_stack([np.arange(30), np.arange(30) + 30])
    settings = dataclasses.replace(SHORT, steps=200, warm_up=40, contrast=0.8, contrast_weight=3.0)

    def likeness(quantiser: RqVae) -> float:
        made_ND = quantiser.decode(quantiser.encode(features_ND))
        made_ND /= np.linalg.norm(made_ND, axis=1, keepdims=True)
        return float((made_ND[:30] * made_ND[30:]).sum(1).mean())

    drawn, alone = (train_rqvae(features_ND, pairs, (4, 4), settings, 0) for pairs in (pairs_P2, NO_PAIRS))
    assert likeness(drawn) > likeness(alone) + 0.2


def test_freezing_changes_no_encoding() -> None:
    torch.manual_seed(0)
    network = RqVaeNetwork(16, 32, 8, (8, 6))
    with torch.no_grad():
        for vector_VZ in network.codebooks:
            vector_VZ.normal_()
        scaled = network.encoder(torch.from_numpy(FEATURES_ND) * 3.0)
        quantised = network.quantise(scaled, Assignment(0.0, 1))
        rebuilt = network.decoder(quantised.passed()) / 3.0
    frozen = network.frozen(3.0)
    np.testing.assert_allclose(frozen.latent(FEATURES_ND), scaled.numpy(), atol=1e-4)
    codes_NM = frozen.encode(FEATURES_ND)
    np.testing.assert_array_equal(codes_NM, torch.stack(quantised.nearest, 1).numpy())
    np.testing.assert_allclose(frozen.decode(codes_NM), rebuilt.numpy(), atol=1e-4)


def test_the_state_goes_through_named_arrays(trained: RqVae) -> None:
    again = RqVae.from_arrays(trained.to_arrays())
    np.testing.assert_array_equal(again.encode(FEATURES_ND), trained.encode(FEATURES_ND))


def test_commitment_draws_both_ways_on_the_cumulative_sums() -> None:
    torch.manual_seed(0)
    network = RqVaeNetwork(16, 32, 8, (8, 6))
    with torch.no_grad():
        for vector_VZ in network.codebooks:
            vector_VZ.normal_()
    latent_BZ = torch.randn(10, 8, requires_grad=True)
    quantised = network.quantise(latent_BZ, Assignment(0.05, 10))
    quantised.commitment(0.25).backward()  # type: ignore[no-untyped-call]
    wanted = torch.zeros(10, 8)
    for summed in quantised.sums:
        wanted += 0.25 * 2 * (latent_BZ - summed).detach() / 10 / 2
    torch.testing.assert_close(latent_BZ.grad, wanted)
    assert all(vector_VZ.grad is not None and vector_VZ.grad.abs().sum() > 0 for vector_VZ in network.codebooks)


def test_items_that_are_all_alike_are_coded_without_complaint() -> None:
    made = train_rqvae(
        np.ones((50, 3), np.float32), NO_PAIRS, (4, 4), dataclasses.replace(SHORT, steps=10, warm_up=4), 0
    )
    assert len(np.unique(made.encode(np.ones((50, 3), np.float32)), axis=0)) == 1


def test_bad_features_are_refused_in_one_line() -> None:
    with pytest.raises(BadDataSet, match="no items"):
        train_rqvae(np.empty((0, 4), np.float32), NO_PAIRS, (4,), SHORT, 0)
    spoilt_ND = FEATURES_ND.copy()
    spoilt_ND[3, 1] = np.nan
    with pytest.raises(BadDataSet, match="1 of 320 items have features that are not finite"):
        train_rqvae(spoilt_ND, NO_PAIRS, (4,), SHORT, 0)


def test_a_training_that_diverges_says_so() -> None:
    wild = dataclasses.replace(SHORT, learning_rate=1e30)
    with pytest.raises(BadDataSet, match=r"diverged in step .*: lower its learning rate"):
        train_rqvae(FEATURES_ND, NO_PAIRS, (4, 4), wild, 0)
