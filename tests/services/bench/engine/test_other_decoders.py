"""Hosts on vLLM and other people's decoders in real processes: their lists are those of the search by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.bundle.prompt_side import read_prompt_side
from services.bench.engine.entrants import ENTRANTS
from services.bench.engine.field import start_host
from services.bench.engine.lists import compare
from services.bench.engine.messages import Ask, Found
from services.bench.engine.shapes import SMALL
from services.bench.engine.terms import Terms
from services.bench.engine.users import Users


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("hf_beam_search", marks=pytest.mark.heavy),
        pytest.param("vllm_beam_search", marks=pytest.mark.vllm),
        pytest.param("vllm", marks=pytest.mark.vllm),
        pytest.param("vllm_logits_processor", marks=pytest.mark.vllm),
    ],
)
def test_its_lists_are_those_of_the_search_by_hand(name: str, bundle: Path, tmp_path: Path) -> None:
    entrant = ENTRANTS[name]
    assert entrant.lacks is None
    terms = Terms(SMALL, bundle, "cpu", 1, 1, 0, tmp_path, {**os.environ, "OMP_NUM_THREADS": "1"})
    side = read_prompt_side(bundle)
    users = Users(side.prompt_format, side.catalog, 0)
    prompts = [users.prompt((7, place), length).tolist() for place, length in enumerate((64, 38))]
    width = SMALL.plain_beam_widths[0]
    question = Ask(search=entrant.search, prompts=prompts, beams=(width, width), lambdas=SMALL.lambdas)
    theirs, by_hand = (_found(terms, host, question) for host in (name, "reference"))
    for mine, wanted in zip(theirs.lists, by_hand.lists, strict=True):
        assert len(wanted.score) == width
        assert compare(mine.listed(), wanted.listed()).within("float32")


def _found(terms: Terms, host: str, question: Ask) -> Found:
    with start_host(terms, host) as process:
        process.ready()
        return process.ask(question)
