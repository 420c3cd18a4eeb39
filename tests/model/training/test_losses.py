"""The losses against plain loops over the paper's equations, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.training.losses import ldpo_loss, ntp_loss, rsp_loss

Table = list[list[float]]
Levels = list[list[int]]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def ldpo_by_hand(pi: Table, levels: Levels, beta: float) -> float:
    """Eq. 8 term by term; each item of G_{j+1} against G_1 u .. u G_j, and nobody else."""
    of_session = []
    for scores, kinds in zip(pi, levels, strict=True):
        terms = []
        for j in (1, 2, 3):
            lower = [math.exp(beta * score) for score, kind in zip(scores, kinds, strict=True) if 1 <= kind <= j]
            if not lower:
                continue
            for score, kind in zip(scores, kinds, strict=True):
                if kind == j + 1:
                    own = math.exp(beta * score)
                    terms.append(-math.log(own / (own + sum(lower))))
        if terms:
            of_session.append(mean(terms))
    return mean(of_session)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Table, Levels]:
    """Scores and levels [N, K]; level 0 is padding, as often as any other."""
    wide = draw(st.integers(1, 5))
    score = st.floats(-30.0, 0.0)
    row = st.lists(st.tuples(score, st.integers(0, 4)), min_size=wide, max_size=wide)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    return [[score for score, _ in row] for row in rows], [[kind for _, kind in row] for row in rows]


def double(values: Table) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(sessions(), st.sampled_from([0.1, 0.5, 1.0]))
def test_ldpo_is_equation_8(drawn: tuple[Table, Levels], beta: float) -> None:
    pi, levels = drawn
    found = ldpo_loss(double(pi), torch.tensor(levels), beta)
    assert float(found) == pytest.approx(ldpo_by_hand(pi, levels, beta), abs=1e-9)


@given(sessions())
def test_ldpo_has_a_finite_gradient_even_where_nothing_is_lower(drawn: tuple[Table, Levels]) -> None:
    pi, levels = drawn
    # In float32 and a thousand times as far apart: nothing may overflow either.
    scores = (1000 * torch.tensor(pi)).requires_grad_()
    loss = ldpo_loss(scores, torch.tensor(levels), 1.0)
    [gradient] = torch.autograd.grad(loss, scores)
    assert math.isfinite(float(loss.detach()))
    assert bool(torch.isfinite(gradient).all())
    assert not gradient[torch.tensor(levels) == 0].any()


def test_ldpo_pushes_the_stronger_up_the_weaker_down_and_leaves_peers_alone() -> None:
    # Two purchases, one exposure; a session of clicks only; a session that is all padding.
    levels = torch.tensor([[4, 4, 2], [3, 3, 3], [0, 0, 0]])
    pi = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(ldpo_loss(pi, levels, 0.5), pi)
    assert gradient[0].tolist() == pytest.approx([-0.125, -0.125, 0.25])
    assert not gradient[1:].any()
    # A better score for one purchase is nothing to the other.
    better = torch.tensor([[5.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    [other] = torch.autograd.grad(ldpo_loss(better, levels[:1], 0.5), better)
    assert float(other[0, 1]) == pytest.approx(-0.125)


def test_the_gradient_of_ldpo_is_that_of_its_value() -> None:
    levels = torch.tensor([[4, 3, 2, 1, 1], [3, 2, 0, 0, 0], [4, 0, 0, 0, 0]])
    chance = torch.Generator().manual_seed(0)
    pi = (-5 * torch.rand(3, 5, generator=chance, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: ldpo_loss(scores, levels, 0.5), (pi,))


@given(sessions())
def test_ntp_is_the_weighted_mean_within_then_over_sessions(drawn: tuple[Table, Levels]) -> None:
    pi, levels = drawn
    weight_of = {0: 0.0, 1: 0.0, 2: 0.1, 3: 1.0, 4: 1.0}
    weights = [[weight_of[kind] for kind in row] for row in levels]
    expected = []
    for scores, row in zip(pi, weights, strict=True):
        if sum(row):
            total = sum(-score * weight for score, weight in zip(scores, row, strict=True))
            expected.append(total / sum(row))
    assert float(ntp_loss(double(pi), double(weights))) == pytest.approx(mean(expected), abs=1e-9)


def test_without_any_positive_ntp_is_zero_and_so_is_its_gradient() -> None:
    pi = torch.full((2, 3), -4.0, requires_grad=True)
    loss = ntp_loss(pi, torch.zeros(2, 3))
    [gradient] = torch.autograd.grad(loss, pi)
    assert float(loss.detach()) == 0.0
    assert not gradient.any()


Candidate = tuple[float, float, float]
"""Logit, label (soft ones too), and how many codes it stands for."""

one_candidate = st.tuples(
    st.floats(-20.0, 20.0), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 1.0, 2.5, 40.0])
)


@given(st.lists(one_candidate, min_size=1, max_size=12), st.integers(1, 5))
def test_rsp_is_the_sum_of_the_bce_over_what_the_candidates_stand_for(drawn: list[Candidate], decisions: int) -> None:
    terms = [
        weight * (label * math.log1p(math.exp(-logit)) + (1 - label) * math.log1p(math.exp(logit)))
        for logit, label, weight in drawn
    ]
    logit_C, label_C, weight_C = torch.tensor(drawn, dtype=torch.float64).T
    assert float(rsp_loss(logit_C, label_C, weight_C, decisions)) == pytest.approx(sum(terms) / decisions, abs=1e-9)


def test_rsp_over_nothing_is_zero_with_a_gradient_of_zeros() -> None:
    logits = torch.ones(2, 3, requires_grad=True)
    loss = rsp_loss(logits, torch.zeros(2, 3), torch.zeros(2, 3), over=0)
    [gradient] = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == 0.0
    assert not gradient.any()
