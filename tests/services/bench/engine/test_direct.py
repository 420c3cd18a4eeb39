"""The naive search against the definition (`model.decoding.reference`), and plain beams against exhaustive search."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest
from model.semantic_id.trie import Trie
from services.bench.engine.bundles import random_catalog
from services.bench.engine.direct import DirectSearch
from services.bench.engine.lists import Listed, compare
from services.bench.engine.shapes import SMALL, Shape
from services.bench.engine.users import Users
from services.bench.engine.weights import spread_network

ONE_LEVEL = replace(SMALL, level_sizes=(30,), beams=(9,), lambdas=(12,))
TWO_LEVELS = replace(SMALL, level_sizes=(9, 11), beams=(4, 15), lambdas=(5, 6))
THREE_LEVELS = replace(SMALL, level_sizes=(5, 4, 6), beams=(3, 5, 12), lambdas=(4, 3, 4))
TOKENS = {1: 16, 2: 16, 3: 16}


@pytest.mark.parametrize("shape", [ONE_LEVEL, TWO_LEVELS, THREE_LEVELS], ids=["m1", "m2", "m3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_its_list_is_the_reference_decoders(shape: Shape, seed: int) -> None:
    network = spread_network(shape.config(), seed, torch.float64)
    catalog = random_catalog(shape, seed)
    tokens = Users(shape.prompt_format(), catalog, seed).prompt((0,), TOKENS[len(shape.level_sizes)])
    wanted = ReferenceDecoder(network, shape.config(), catalog)(DecodeRequest(tokens))
    search = DirectSearch(network, Trie.of_catalog(catalog))
    found, stages = search.two_stage(tokens, shape.beams, shape.lambdas)
    assert found is not None
    # One item per semantic id, so the list of items is the list of ids.
    assert found.codes.tolist() == wanted.codes.tolist()
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-6)
    assert list(stages) == ["prefill", *(f"level{level}" for level in range(1, len(shape.beams) + 1))]


def test_scoring_some_beams_gives_a_time_and_no_list() -> None:
    shape = TWO_LEVELS
    network = spread_network(shape.config(), 0, torch.float32)
    catalog = random_catalog(shape, 0)
    tokens = Users(shape.prompt_format(), catalog, 0).prompt((0,), 16)
    search = DirectSearch(network, Trie.of_catalog(catalog), most_beams=2)
    found, stages = search.two_stage(tokens, shape.beams, shape.lambdas)
    assert found is None
    assert stages["level2"] > 0


@pytest.mark.parametrize("normaliser", ["vocabulary", "allowed"])
def test_plain_beams_of_full_width_find_the_best_sums_of_log_p(normaliser: str) -> None:
    shape = THREE_LEVELS
    config = shape.config()
    network = spread_network(config, 3, torch.float64)
    catalog = random_catalog(shape, 3)
    tokens = Users(shape.prompt_format(), catalog, 3).prompt((0,), 16)
    search = DirectSearch(network, Trie.of_catalog(catalog))
    width = 200
    found = search.plain_beams(tokens, width, "vocabulary" if normaliser == "vocabulary" else "allowed")
    there = {tuple(row) for row in catalog.codes.tolist()}
    scores = {}
    for codes in product(*map(range, shape.level_sizes)):
        if codes in there:
            row = [
                *tokens.tolist(),
                *(part.token_offset + code for part, code in zip(config.levels, codes, strict=True)),
            ]
            with torch.inference_mode():
                states = network(torch.tensor([row]), torch.arange(len(row))[None])[0]
                logits = states @ network.model.embed_tokens.weight.T
            scores[codes] = 0.0
            for level, part in enumerate(config.levels):
                at = logits[len(tokens) - 1 + level]
                beside = sorted({one[level] for one in there if one[:level] == codes[:level]})
                over = at if normaliser == "vocabulary" else at[[part.token_offset + code for code in beside]]
                scores[codes] += float(
                    torch.log_softmax(over, -1)[_place(beside, codes[level], part.token_offset, over)]
                )
    every = Listed(np.array(list(scores), dtype=np.int32), np.array(list(scores.values())))
    assert len(found.score) == len(there)
    assert compare(found, every).within("float32")


def _place(beside: list[int], code: int, offset: int, over: torch.Tensor) -> int:
    return beside.index(code) if len(over) == len(beside) else offset + code
