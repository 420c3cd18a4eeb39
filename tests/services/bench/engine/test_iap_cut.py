"""Codes at IAP's cut: those whose logit is the last one's within rounding, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.bundle.prompt_side import read_prompt_side
from model.bundle.read import read_bundle
from services.bench.engine.iap_cut import IapCut
from services.bench.engine.shapes import SMALL
from services.bench.engine.terms import Terms
from services.bench.engine.users import Users


@pytest.fixture
def terms(bundle: Path, tmp_path: Path) -> Terms:
    return Terms(SMALL, bundle, "cpu", 1, 1, 0, tmp_path, {})


def test_the_code_at_the_cut_is_named_alone_where_no_other_is_near(terms: Terms) -> None:
    opened, side = read_bundle(terms.bundle), read_prompt_side(terms.bundle)
    tokens = Users(side.prompt_format, side.catalog, 0).prompt((0,), 40)
    network = opened.network().double()
    with torch.inference_mode():
        states_BSD = network(torch.from_numpy(tokens)[None], torch.arange(len(tokens))[None], None)
        logit_V = network.level_logits(states_BSD[0, -1], 1).numpy()
    codes = np.unique(opened.catalog.codes[:, 0])
    best = codes[np.argsort(-logit_V[codes])].tolist()
    tied = IapCut(terms).tied
    for most in range(1, len(best)):
        assert tied(tokens, most) == {best[most - 1]}


def test_where_every_code_fits_nothing_is_cut(terms: Terms) -> None:
    side = read_prompt_side(terms.bundle)
    tokens = Users(side.prompt_format, side.catalog, 0).prompt((0,), 40)
    assert IapCut(terms).tied(tokens, SMALL.level_sizes[0]) == frozenset()
