"""Dropout from a byte of chance a value."""

from __future__ import annotations

import pytest
import torch

from model.network.dropout import Dropout, dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_asked_share_is_left_out_and_the_mean_stays(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(501, 203, dtype=dtype), share)
    assert found.dtype == dtype
    # Ten standard deviations; the share is rounded to 256ths.
    assert float((found == 0).double().mean()) == pytest.approx(round(share * 256) / 256, abs=0.016)
    assert float(found.double().mean()) == pytest.approx(1.0, abs=0.1)


def test_what_is_left_out_has_no_gradient_and_the_rest_its_scale() -> None:
    torch.manual_seed(1)
    x = torch.ones(64, requires_grad=True)
    out = dropout(x, 0.25)
    [gradient] = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, out.detach())
    kept = gradient[gradient != 0]
    assert 0 < len(kept) < 64
    torch.testing.assert_close(kept, torch.full_like(kept, 4 / 3))


def test_the_seed_decides_and_outside_of_training_nothing_is_left_out() -> None:
    x, layer = torch.arange(1.0, 100.0), Dropout(0.5)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(layer(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(dropout(x, 0.0), x)
