"""The benchmark of learning from a stream measures what it says, at a size that takes seconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.bench.train_stream.main import Size, run


@pytest.mark.heavy
def test_every_figure_is_there() -> None:
    outcome = run(Size("micro", 60, 80, samples=100, batch_samples=16), "test", datetime.now(UTC))
    one = outcome.measured
    assert one.samples == 100
    assert 0 < one.learnt <= 100 + 64
    assert one.steps > 0
    assert one.replayed > 0
    assert one.tokens > 10 * one.learnt
    assert min(one.read_s, one.learn_s, one.keep_s, one.kept_mb) > 0
    content = outcome.content()
    assert content["samples_per_s"] == round(one.samples_per_s, 1)
    assert "tokens/s" in outcome.page()
