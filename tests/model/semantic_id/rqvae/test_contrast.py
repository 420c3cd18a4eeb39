"""The contrastive losses against a brute force in double precision."""

from __future__ import annotations

from math import exp, log

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.semantic_id.rqvae.contrast import contrastive_loss, info_nce

Rows = npt.NDArray[np.float64]


def some_rows(seed: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((5, 3))


def naive_nce(one: Rows, other: Rows, scale: float) -> float:
    total = 0.0
    for left, right in ((one, other), (other, one)):
        for row in range(len(left)):
            likeness = [scale * float(left[row] @ partner) for partner in right]
            total += -log(exp(likeness[row]) / sum(map(exp, likeness))) / len(left) / 2
    return total


def unit(rows: Rows) -> Rows:
    made: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def test_info_nce_is_the_mean_of_both_directions() -> None:
    one, other = unit(some_rows(0)), unit(some_rows(1))
    found = info_nce(torch.from_numpy(one), torch.from_numpy(other), torch.tensor(5.0, dtype=torch.float64))
    assert float(found) == pytest.approx(naive_nce(one, other, 5.0), rel=1e-12)


def test_the_loss_is_the_mean_of_three_symmetric_ones() -> None:
    a, b, own_a, own_b = (some_rows(seed) for seed in range(4))
    given_a, given_b = torch.from_numpy(own_a), torch.from_numpy(own_b)
    scale = torch.tensor(4.0, dtype=torch.float64)
    found = contrastive_loss(torch.from_numpy(a), torch.from_numpy(b), given_a, given_b, scale)
    a, b, own_a, own_b = map(unit, (a, b, own_a, own_b))
    partners = naive_nce(a, b, 4.0)
    given = (naive_nce(a, own_b, 4.0) + naive_nce(b, own_a, 4.0)) / 2
    itself = (naive_nce(a, own_a, 4.0) + naive_nce(b, own_b, 4.0)) / 2
    assert float(found) == pytest.approx((partners + given + itself) / 3, rel=1e-12)
