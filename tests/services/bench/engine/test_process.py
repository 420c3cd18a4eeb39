"""Hosts in processes of their own: real ones over a real socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.bundle.prompt_side import read_prompt_side
from services.bench.engine.bundles import bundle_of
from services.bench.engine.field import start_host
from services.bench.engine.lists import compare
from services.bench.engine.messages import Ask, Found
from services.bench.engine.process import HostLost, HostProcess
from services.bench.engine.shapes import SMALL
from services.bench.engine.terms import Terms
from services.bench.engine.users import Users


def terms_for(bundle: Path, logs: Path) -> Terms:
    return Terms(
        shape=SMALL,
        bundle=bundle,
        device="cpu",
        threads=1,
        rounds=1,
        seed=0,
        logs=logs,
        environment={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def terms(bundle: Path, tmp_path: Path) -> Terms:
    return terms_for(bundle, tmp_path)


def ask(terms: Terms, *, users: int = 2) -> Ask:
    side = read_prompt_side(terms.bundle)
    people = Users(side.prompt_format, side.catalog, 0)
    prompts = [people.prompt((0, user), 64).tolist() for user in range(users)]
    return Ask(prompts=prompts, beams=SMALL.beams, lambdas=SMALL.lambdas)


def found_by(terms: Terms, host: str, question: Ask) -> Found:
    with start_host(terms, host) as process:
        assert process.ready()["torch"]
        assert process.multiply() > 0
        return process.ask(question)


@pytest.fixture(scope="module")
def torch_host(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host that runs while these tests do; do not kill it."""
    with start_host(terms_for(bundle, tmp_path_factory.mktemp("logs")), "torch") as process:
        process.ready()
        yield process


def test_hosts_agree_on_the_same_weights_and_a_host_with_others_is_noticed(
    terms: Terms, torch_host: HostProcess, tmp_path: Path
) -> None:
    question = ask(terms)
    fast, naive = torch_host.ask(question), found_by(terms, "naive_rsp", question)
    other = bundle_of(SMALL, 1, tmp_path, datetime(2026, 11, 24, tzinfo=UTC))
    planted = found_by(replace(terms, bundle=other), "torch", question)
    for user in range(2):
        wanted = naive.lists[user].listed()
        assert len(wanted.score) == SMALL.beams[-1]
        assert compare(fast.lists[user].listed(), wanted).within("float32")
        assert not compare(planted.lists[user].listed(), wanted).within("float32")


def test_an_answer_tells_time_stages_and_memory(terms: Terms, torch_host: HostProcess) -> None:
    found = torch_host.ask(ask(terms))
    assert found.seconds > 0
    assert {"prefill", "level1", "level2"} <= found.stages_ms.keys()
    assert sum(found.stages_ms.values()) <= found.seconds * 1e3
    assert found.peak_rss_mb > found.grown_mb >= 0
    assert not found.extrapolated


def test_lists_stay_away_where_nobody_wants_them(terms: Terms, torch_host: HostProcess) -> None:
    assert torch_host.ask(ask(terms).model_copy(update={"lists": False})).lists == []


def test_a_host_that_cannot_start_says_why(terms: Terms) -> None:
    with start_host(terms, "nobody") as process, pytest.raises(HostLost, match="no host is called 'nobody'"):
        process.ready()


def test_a_host_whose_bundle_is_no_bundle_says_so(terms: Terms, tmp_path: Path) -> None:
    nowhere = replace(terms, bundle=tmp_path / "nowhere")
    with start_host(nowhere, "torch") as process, pytest.raises(HostLost, match="is not a bundle"):
        process.ready()


def test_a_question_that_a_host_refuses_is_its_loss(terms: Terms, torch_host: HostProcess) -> None:
    with pytest.raises(HostLost, match="widths must be at least 1"):
        torch_host.ask(ask(terms).model_copy(update={"beams": (0, 0)}))


def test_a_host_that_dies_leaves_its_last_words(terms: Terms) -> None:
    with start_host(terms, "naive_rsp") as process:
        process.ready()
        # This host is no product and checks nothing: it breaks at the first width.
        broken = ask(terms).model_copy(update={"beams": ()})
        with pytest.raises(HostLost, match=r"its process ended: .*ValueError"):
            process.ask(broken)
