"""Prompts in the words of each catalogue that an engine may serve: the newest few are known, the one of now always."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.errors import EngineDown
from model.semantic_id.catalog import Catalog
from services.gateways.inference.reworded import RewordedInferenceEngine
from services.precompute.precompute_candidates import Computed
from services.precompute.prompt_of_user import PromptOfUser
from services.precompute.wording import KEPT, Wording, Wordings

from .world import World, small_catalog, small_format


def catalog(popularity: float) -> Catalog:
    """The same items with their codes turned round, so that every prompt differs."""
    plain = small_catalog()
    return dataclasses.replace(plain, codes=plain.codes[::-1].copy(), popularity=plain.popularity * popularity)


def wording(popularity: float) -> Wording:
    made = catalog(popularity)
    return Wording(PromptOfUser(small_format(), made, made.version))


def test_the_newest_few_are_known_and_the_one_of_now_always() -> None:
    wordings = Wordings(wording(1.0))
    others = [wording(2.0 + number) for number in range(KEPT + 2)]
    for other in others:
        wordings.add(other)
    known = [one for one in others if wordings.of(one.catalog_version) is one]
    assert known == others[-KEPT:]
    assert wordings.of(wordings.now.catalog_version) is wordings.now
    wordings.use(others[-1])
    assert wordings.now is others[-1]
    assert wordings.of("another") is None


async def test_an_engine_that_has_swapped_is_asked_in_its_own_words() -> None:
    world = World()
    other = wording(2.0)
    precompute = dataclasses.replace(world.precompute, engine=RewordedInferenceEngine(world.engine))
    world.engine.catalog_version = other.catalog_version
    # Not known yet: the trigger comes again.
    trigger = await world.announced(world.trigger())
    with pytest.raises(EngineDown, match=other.catalog_version):
        await precompute(trigger)
    world.wordings.add(other)
    outcome = await precompute(trigger)
    assert isinstance(outcome, Computed)
    assert outcome.answer.catalog_version == other.catalog_version
    asked = world.engine.asked[-1]
    assert asked.catalog_version == other.catalog_version
    history = await world.histories.recent(trigger.user_id)
    assert asked.tokens == other.prompt_of(history, trigger).tokens
    assert asked.tokens != world.wordings.now.prompt_of(history, trigger).tokens
