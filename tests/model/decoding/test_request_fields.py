"""What a request brings beside its prompt: a filter, a name, and whether anybody still waits for the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadRequest, DeadlineExceeded, RankGRError
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.semantic_id.item_filter import ItemFilter

from .small_worlds import World, prompt


def items_of(answer: DecodeResult | RankGRError) -> list[int]:
    assert isinstance(answer, DecodeResult), repr(answer)
    found: list[int] = answer.item_id.tolist()
    return found


@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
@settings(max_examples=30)
def test_a_filter_is_the_exclusion_of_its_items(seed: int, share: float) -> None:
    world = World(seed=seed % 7)
    config, network, catalog = world.config(), world.network(), world.catalog()
    chance = np.random.default_rng(seed)
    filtered = catalog.item_id[chance.random(len(catalog)) < share].tolist()
    excluded = frozenset(catalog.item_id[chance.random(len(catalog)) < 0.2].tolist())
    tokens = prompt(config, 12, seed)
    by_filter = DecodeRequest(tokens, exclude=excluded, item_filter=ItemFilter.of_items(catalog, filtered))
    by_name = DecodeRequest(tokens, exclude=excluded | frozenset(filtered))
    found, expected = map(items_of, TwoStageDecoder(network, catalog)([by_filter, by_name]))
    assert found == expected
    assert not set(found) & (excluded | set(filtered))
    assert items_of(ReferenceDecoder(network, config, catalog)(by_filter)) == expected


def test_another_catalogue_s_filter_spoils_its_own_request_only() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    tokens = prompt(config, 12, 0)
    foreign = DecodeRequest(tokens, item_filter=ItemFilter.of_rows([1], 10 * len(catalog)))
    refused, good = TwoStageDecoder(network, catalog)([foreign, DecodeRequest(tokens)])
    assert isinstance(refused, BadRequest)
    assert items_of(good)
    with pytest.raises(BadRequest, match="filter"):
        ReferenceDecoder(network, config, catalog)(foreign)


@pytest.mark.parametrize("stages", [0, 1])
def test_who_is_not_waited_for_any_more_is_dropped_between_stages(stages: int) -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    tokens = prompt(config, 12, 0)
    asked: list[int] = []

    def wanted() -> bool:
        asked.append(len(asked))
        return len(asked) <= stages

    left, stayed = TwoStageDecoder(network, catalog)(
        [DecodeRequest(tokens, wanted=wanted), DecodeRequest(tokens, wanted=lambda: True)]
    )
    assert isinstance(left, DeadlineExceeded)
    assert len(asked) == stages + 1
    assert items_of(stayed) == items_of(TwoStageDecoder(network, catalog)([DecodeRequest(tokens)])[0])


def test_a_user_s_name_changes_no_list() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    request = DecodeRequest(prompt(config, 12, 0))
    decoder = TwoStageDecoder(network, catalog)
    named, again, nobody = decoder([replace(request, user="42"), replace(request, user="42"), request])
    assert items_of(named) == items_of(again) == items_of(nobody)
