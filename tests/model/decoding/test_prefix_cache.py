"""What is kept of users' prompts: how much it saves, and that it never changes a list."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import EngineFailed
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.semantic_id.catalog import Int64s

from .small_worlds import World, prompt

PLENTY = 2**30


def answer_of(decoder: TwoStageDecoder, tokens: Int64s, user: str | None) -> DecodeResult:
    answer = decoder([DecodeRequest(tokens, user=user)])[0]
    assert isinstance(answer, DecodeResult), repr(answer)
    return answer


def grown(tokens: Int64s, new: Int64s, context: int = 2) -> Int64s:
    """The next prompt of the same user: new items behind the history, the context at the end."""
    return np.concatenate((tokens[:-context], new, tokens[-context:]))


@pytest.mark.parametrize("keys", ["items", "all"])
@pytest.mark.parametrize("mode", ["mha", "literal"])
def test_a_users_next_prompt_computes_only_what_is_new_and_gives_the_cold_list(keys: str, mode: str) -> None:
    world = World(keys="all" if keys == "all" else "items", mode="literal" if mode == "literal" else "mha")
    config, network, catalog = world.config(), world.network(), world.catalog()
    warm, cold = (TwoStageDecoder(network, catalog, cache_bytes=size) for size in (PLENTY, 0))
    first = prompt(config, 26, 0)
    then = grown(first, prompt(config, 6, 1, context=0))
    assert answer_of(warm, first, "u").counts["computed_tokens"] == 26
    found, expected = answer_of(warm, then, "u"), answer_of(cold, then, "u")
    assert found.counts["computed_tokens"] == 6 + 2
    assert found.counts["reused_tokens"] == 24
    assert expected.counts["computed_tokens"] == 32
    assert found.item_id.tolist() == expected.item_id.tolist()
    np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-6)
    assert warm.cache_figures.reused_tokens == 24
    assert warm.cache_figures.prompts == 1


@given(seed=st.integers(0, 10**6), levels=st.sampled_from([(6, 7), (4, 5, 6), (12,)]), prompts=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_no_order_of_prompts_changes_a_list(seed: int, levels: tuple[int, ...], prompts: int) -> None:
    world = World(sizes=levels, seed=seed % 7)
    config, network, catalog = world.config(), world.network(), world.catalog()
    warm, cold = (TwoStageDecoder(network, catalog, cache_bytes=size) for size in (PLENTY, 0))
    chance = np.random.default_rng(seed)
    tokens = {user: prompt(config, int(chance.integers(3, 20)), seed + user) for user in range(2)}
    for _ in range(prompts):
        batch = []
        for user, before in tokens.items():
            # Grown, cut at the front (which shifts every position), the same again, or another beginning.
            kind = chance.integers(0, 4)
            if kind == 0:
                tokens[user] = grown(before, prompt(config, int(chance.integers(1, 5)), seed + 3, context=0))[-40:]
            elif kind == 1 and len(before) > 5:
                tokens[user] = before[2:]
            elif kind == 2:
                tokens[user] = before.copy()
                tokens[user][chance.integers(0, len(before))] = config.levels[0].token_offset
            batch.append(DecodeRequest(tokens[user], user=str(user)))
        for found, expected in zip(warm(batch), cold(batch), strict=True):
            assert isinstance(found, DecodeResult)
            assert isinstance(expected, DecodeResult)
            assert found.item_id.tolist() == expected.item_id.tolist()
            np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-6)


def test_nobody_gets_what_another_user_left_and_the_nameless_leave_nothing() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    decoder = TwoStageDecoder(network, catalog, cache_bytes=PLENTY)
    tokens = prompt(config, 20, 0)
    for user in ("u", "v", None, None):
        assert answer_of(decoder, tokens, user).counts["reused_tokens"] == 0
    assert decoder.cache_figures.prompts == 2
    assert answer_of(decoder, tokens, "u").counts["reused_tokens"] == 19, "the last token is always computed"


def test_the_users_seen_longest_ago_make_room() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    tokens = prompt(config, 20, 0)
    one = TwoStageDecoder(network, catalog, cache_bytes=PLENTY)
    answer_of(one, tokens, "u")
    each = one.cache_figures.nbytes
    decoder = TwoStageDecoder(network, catalog, cache_bytes=2 * each + each // 2)
    for user in ("u", "v", "u", "w"):
        answer_of(decoder, tokens, user)
        assert decoder.cache_figures.nbytes <= 2 * each
    reused = [answer_of(decoder, tokens, user).counts["reused_tokens"] for user in ("u", "w", "v")]
    assert reused == [19, 19, 0]
    tight = TwoStageDecoder(network, catalog, cache_bytes=each - 1)
    answer_of(tight, tokens, "u")
    assert tight.cache_figures.prompts == 0, "what is larger than all the room is not kept"


def test_a_broken_prompt_is_not_kept() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    with torch.no_grad():
        network.model.embed_tokens.weight[2] = torch.nan
    decoder = TwoStageDecoder(network, catalog, cache_bytes=PLENTY)
    tokens = prompt(config, 20, 0)
    tokens[-2:] = 1
    broken = tokens.copy()
    broken[-1] = 2
    assert isinstance(decoder([DecodeRequest(broken, user="u")])[0], EngineFailed)
    assert decoder.cache_figures.prompts == 0
    assert len(answer_of(decoder, tokens, "u").item_id)
