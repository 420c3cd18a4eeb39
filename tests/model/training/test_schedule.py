"""How the learning rate moves, and what is decayed."""

from __future__ import annotations

import itertools

import pytest

from model.training.config import OptimiserConfig
from model.training.schedule import make_optimiser, rate_at, set_rate

from .toys import Toy


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_rate_rises_then_follows_its_schedule(schedule: str) -> None:
    config = OptimiserConfig(learning_rate=2.0, warmup_share=0.1, final_share=0.25, schedule=schedule)  # type: ignore[arg-type]
    rates = [rate_at(config, done / 1000) for done in range(1001)]
    assert 0 < rates[0] < 0.05
    assert all(one < other for one, other in itertools.pairwise(rates[:100]))
    assert rates[100] == pytest.approx(2.0)
    assert max(rates) <= 2.0
    middle, end = {"cosine": (1.25, 0.5), "linear": (1.25, 0.5), "constant": (2.0, 2.0)}[schedule]
    assert rates[550] == pytest.approx(middle)
    assert rates[1000] == pytest.approx(end)
    assert all(one >= other for one, other in itertools.pairwise(rates[100:]))


def test_without_a_warm_up_it_begins_at_the_top() -> None:
    assert rate_at(OptimiserConfig(learning_rate=2.0, warmup_share=0.0), 0.0) == pytest.approx(2.0)


def test_vectors_are_not_decayed_and_frozen_weights_are_left_out() -> None:
    network = Toy().network()
    network.rank_head.requires_grad_(False)
    optimiser = make_optimiser(network, OptimiserConfig(weight_decay=0.3))
    decay = {id(weight): group["weight_decay"] for group in optimiser.param_groups for weight in group["params"]}
    head = {id(weight) for weight in network.rank_head.parameters()}
    for weight in network.parameters():
        if id(weight) in head:
            assert id(weight) not in decay
        else:
            assert decay[id(weight)] == (0.3 if weight.ndim > 1 else 0.0)


def test_embeddings_learn_at_a_multiple_of_the_rate_and_forget_no_faster() -> None:
    network = Toy().network()
    optimiser = make_optimiser(network, OptimiserConfig(weight_decay=0.3, embedding_rate=5.0))
    set_rate(optimiser, 2e-3)
    embedding = network.model.embed_tokens.weight
    for group in optimiser.param_groups:
        assert group["lr"] == pytest.approx(1e-2 if any(weight is embedding for weight in group["params"]) else 2e-3)
    decayed = [group["lr"] * group["weight_decay"] for group in optimiser.param_groups if group["weight_decay"]]
    assert decayed == pytest.approx([6e-4] * len(decayed))
