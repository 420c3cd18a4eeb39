"""The batched decoder against the slow reference, and both against brute force over all items."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from contracts.errors import BadBundle, BadRequest, EngineFailed, PromptTooLong, RankGRError, UnknownToken
from model.decoding.blocks import Blocks
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest, DecodeResult, ScoredSids
from model.decoding.two_stage import TwoStageDecoder
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Catalog

from .small_worlds import World, prompt, requests_of

WORLDS = {
    "two levels": World(),
    "literal": World(mode="literal"),
    "attn_query": World(mlp_input="attn_query", kv_heads=1),
    "literal, attn_query": World(mode="literal", mlp_input="attn_query", keys="all", seed=5),
    "all keys": World(keys="all", kv_heads=4),
    "lambda over the request": World(scope="request", lambdas=(4, 9)),
    "IAP mixed in": World(iap_mix=0.25, seed=2),
    "one level": World(sizes=(30,), beams=(11,), lambdas=(17,)),
    "three levels": World(sizes=(4, 5, 6), items=60, seed=3, beams=(3, 6, 9), lambdas=(4, 3, 4)),
    "three levels, literal, request": World(
        sizes=(4, 5, 6), items=60, mode="literal", scope="request", iap_mix=1.0, seed=4, lambdas=(3, 9, 14)
    ),
    "four levels": World(sizes=(2, 3, 2, 3), items=50, seed=6, beams=(2, 4, 6, 8)),
}


def result_of(answer: DecodeResult | RankGRError) -> DecodeResult:
    assert isinstance(answer, DecodeResult), repr(answer)
    return answer


def sids_of(answer: ScoredSids | RankGRError) -> ScoredSids:
    assert isinstance(answer, ScoredSids), repr(answer)
    return answer


def assert_same_sids(found: ScoredSids, expected: ScoredSids, within: float) -> None:
    """Same SIDs with the same scores; what one side alone has must tie with the other's worst."""
    found_at = {sid: place for place, sid in enumerate(found.sid.tolist())}
    expected_at = {sid: place for place, sid in enumerate(expected.sid.tolist())}
    assert len(found_at) == len(expected_at) == len(found.sid) == len(expected.sid)
    both = sorted(set(found_at) & set(expected_at))
    for one, other, only in (
        (found, expected, set(found_at) - set(both)),
        (expected, found, set(expected_at) - set(both)),
    ):
        for sid in only:
            score = one.score[one.sid == sid][0]
            assert abs(score - other.score.min()) < within, "a SID is missing that is no near-tie at the cut"
    mine, theirs = [found_at[sid] for sid in both], [expected_at[sid] for sid in both]
    for name in ("score", "iap_logprob", "rsp_logscore"):
        np.testing.assert_allclose(getattr(found, name)[mine], getattr(expected, name)[theirs], rtol=0, atol=within)
    assert np.all(np.abs(found.score - expected.score) < within), "the order differs by more than near-ties"


@pytest.mark.parametrize("name", WORLDS)
def test_batched_equals_reference_to_1e_9_in_float64(name: str) -> None:
    world = WORLDS[name]
    config, network, catalog = world.config(), world.network(), world.catalog()
    hidden = frozenset(catalog.item_id[::7].tolist())
    batched = TwoStageDecoder(network, catalog, hidden)
    reference = ReferenceDecoder(network, config, catalog, hidden)
    requests = requests_of(config, catalog, world.seed)
    for request, answer in zip(requests, batched.final_sids(requests), strict=True):
        assert_same_sids(sids_of(answer), reference.final_sids(request), 1e-9)
    for request, result in zip(requests[::3], batched(requests)[::3], strict=True):
        found, expected = result_of(result), reference(request)
        assert found.item_id.tolist() == expected.item_id.tolist()
        assert found.codes.tolist() == expected.codes.tolist()
        np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-6)
        kinds = (found.item_id, found.score, found.codes, found.iap_logprob, found.rsp_logscore)
        assert [str(array.dtype) for array in kinds] == ["int64", "float32", "int32", "float32", "float32"]
        assert [array.dtype for array in kinds] == [
            array.dtype
            for array in (
                expected.item_id,
                expected.score,
                expected.codes,
                expected.iap_logprob,
                expected.rsp_logscore,
            )
        ]


@pytest.mark.parametrize("name", WORLDS)
def test_batched_equals_reference_to_1e_5_in_float32(name: str) -> None:
    world = replace(WORLDS[name], dtype=torch.float32)
    config, network, catalog = world.config(), world.network(), world.catalog()
    batched, reference = TwoStageDecoder(network, catalog), ReferenceDecoder(network, config, catalog)
    requests = requests_of(config, catalog, world.seed + 50)
    for request, answer in zip(requests, batched.final_sids(requests), strict=True):
        assert_same_sids(sids_of(answer), reference.final_sids(request), 1e-5)


@pytest.mark.parametrize("name", ["two levels", "three levels", "literal"])
def test_small_blocks_change_nothing(name: str) -> None:
    world = WORLDS[name]
    config, network, catalog = world.config(), world.network(), world.catalog()
    requests = requests_of(config, catalog, 9)
    whole = TwoStageDecoder(network, catalog).final_sids(requests)
    for blocks in (Blocks(scores=1, pairs=1, beams=1, tokens=1), Blocks(scores=40, pairs=90, beams=2, tokens=45)):
        parts = TwoStageDecoder(network, catalog, blocks=blocks).final_sids(requests)
        for found, expected in zip(parts, whole, strict=True):
            assert_same_sids(sids_of(found), sids_of(expected), 1e-12)


def test_who_shares_the_batch_changes_nothing() -> None:
    world = WORLDS["three levels"]
    config, network, catalog = world.config(), world.network(), world.catalog()
    decoder = TwoStageDecoder(network, catalog)
    requests = requests_of(config, catalog, 4)
    for request, answer in zip(requests, decoder(requests), strict=True):
        assert result_of(answer).item_id.tolist() == result_of(decoder([request])[0]).item_id.tolist()


def ranking_by_brute_force(
    network: RankGRNetwork, catalog: Catalog, tokens: list[int], keys_all: bool, cap: int
) -> list[tuple[int, float]]:
    """(item, score) of every item: one forward pass per item, the direct head, a sort; no beam, no trie."""
    levels = network.config.levels
    is_item = [any(p.token_offset <= t < p.token_offset + p.size for p in levels) for t in tokens]
    scored: list[tuple[float, tuple[int, ...], float, int]] = []
    with torch.no_grad():
        for row, item in enumerate(catalog.item_id.tolist()):
            codes = tuple(catalog.codes[row].tolist())
            fed = tokens + [part.token_offset + code for part, code in zip(levels, codes, strict=True)]
            states = network(torch.tensor([fed]), torch.arange(len(fed))[None])[0]
            total = 0.0
            for number, code in enumerate(codes):
                key = [place for place in range(len(tokens) - 1) if keys_all or is_item[place]]
                key += range(len(tokens) - 1, len(tokens) + number)
                embedding = network.model.embed_tokens.weight[levels[number].token_offset + code]
                logit = network.rank_head.score_logits(embedding[None], states[key])
                total += float(functional.logsigmoid(logit)[0])
            scored.append((-float(np.float32(total)), codes, -float(catalog.popularity[row]), item))
    taken: dict[tuple[int, ...], int] = {}
    ranking: list[tuple[int, float]] = []
    for negative, codes, _, item in sorted(scored):
        taken[codes] = taken.get(codes, 0) + 1
        if taken[codes] <= cap:
            ranking.append((item, -negative))
    return ranking


@pytest.mark.parametrize(
    "name", ["two levels", "literal", "attn_query", "all keys", "one level", "three levels", "four levels"]
)
def test_with_all_widths_everything_the_list_is_the_brute_force_ranking(name: str) -> None:
    world = WORLDS[name]
    config, network, catalog = world.config(), world.network(), world.catalog()
    wide = (10**6,) * len(world.sizes)
    request = DecodeRequest(prompt(config, 15, 1), beams=wide, lambdas=wide)
    expected = ranking_by_brute_force(network, catalog, request.tokens.tolist(), world.keys == "all", world.cap)
    for result in (
        result_of(TwoStageDecoder(network, catalog)([request])[0]),
        ReferenceDecoder(network, config, catalog)(request),
    ):
        assert result.item_id.tolist() == [item for item, _ in expected]
        np.testing.assert_allclose(result.score, [score for _, score in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scope", ["prefix", "request"])
def test_ties_go_to_lower_codes_then_to_the_popular_then_to_lower_ids(
    scope: Literal["prefix", "request"],
) -> None:
    world = World(sizes=(3, 4), items=60, beams=(2, 5), lambdas=(2, 3), scope=scope, cap=3)
    config, network, catalog = world.config(), world.network(), world.catalog()
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    rows_of: dict[tuple[int, ...], list[int]] = {}
    for row, codes in enumerate(catalog.codes.tolist()):
        rows_of.setdefault(tuple(codes), []).append(row)
    by_prefix = [sid for first in (0, 1) for sid in sorted(s for s in rows_of if s[0] == first)[:3]]
    sids = by_prefix[:5] if scope == "prefix" else sorted(rows_of)[:3]
    expected = [
        int(catalog.item_id[row])
        for sid in sids
        for row in sorted(rows_of[sid], key=lambda row: (-catalog.popularity[row], catalog.item_id[row]))[:3]
    ]
    request = DecodeRequest(prompt(config, 8, 0))
    assert result_of(TwoStageDecoder(network, catalog)([request])[0]).item_id.tolist() == expected
    assert ReferenceDecoder(network, config, catalog)(request).item_id.tolist() == expected


@given(
    seed=st.integers(0, 10**6),
    sizes=st.sampled_from([(9,), (4, 5), (3, 3, 4)]),
    excluded=st.floats(0, 1),
    width=st.integers(1, 12),
    cap=st.integers(1, 4),
    max_items=st.none() | st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_a_list_keeps_the_law(
    seed: int, sizes: tuple[int, ...], excluded: float, width: int, cap: int, max_items: int | None
) -> None:
    world = World(sizes=sizes, items=40, seed=seed, cap=cap, dtype=torch.float32)
    config, network, catalog = world.config(), world.network(), world.catalog()
    chance = np.random.default_rng(seed)
    gone = [frozenset(catalog.item_id[chance.random(40) < share].tolist()) for share in (excluded, 0.2)]
    widths = (width,) * len(sizes)
    request = DecodeRequest(
        prompt(config, 10, seed), beams=widths, lambdas=widths, exclude=gone[0], max_items=max_items
    )
    result = result_of(TwoStageDecoder(network, catalog, hidden=gone[1])([request])[0])
    items = result.item_id.tolist()
    left = set(catalog.item_id.tolist()) - gone[0] - gone[1]
    assert set(items) <= left
    assert len(items) == len(set(items)) <= (max_items or 10**9)
    assert bool(items) == bool(left)
    rows = catalog.rows_of(result.item_id)
    assert np.array_equal(result.codes, catalog.codes[rows])
    sids = [tuple(codes) for codes in result.codes.tolist()]
    assert len(set(sids)) <= width
    assert all(sids.count(sid) <= cap for sid in set(sids))
    order = [
        (-score, sid, -catalog.popularity[row], item)
        for score, sid, row, item in zip(result.score.tolist(), sids, rows, items, strict=True)
    ]
    assert order == sorted(order)
    for item in left - set(items):
        row = catalog.rows_of([item])[0]
        sid = tuple(catalog.codes[row].tolist())
        if sid in sids and max_items is None:
            better = [other for other, shown in zip(items, sids, strict=True) if shown == sid]
            assert len(better) == cap, "an item is missing although its SID had room"


def test_one_code_left_is_found_however_narrow_the_search() -> None:
    world = World(sizes=(6, 7), beams=(1, 1), lambdas=(1, 1))
    config, network, catalog = world.config(), world.network(), world.catalog()
    last = int(catalog.item_id[11])
    request = DecodeRequest(prompt(config, 8, 0), exclude=frozenset(catalog.item_id.tolist()) - {last})
    assert result_of(TwoStageDecoder(network, catalog)([request])[0]).item_id.tolist() == [last]


def test_nothing_left_is_an_empty_list() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    everything = frozenset(catalog.item_id.tolist())
    empty = Catalog(np.empty(0, np.int64), np.empty((0, 2), np.int32), np.empty(0, np.float32), world.sizes)
    tokens = prompt(config, 8, 0)
    answers = [
        result_of(TwoStageDecoder(network, catalog)([DecodeRequest(tokens, exclude=everything)])[0]),
        result_of(TwoStageDecoder(network, catalog, hidden=everything)([DecodeRequest(tokens)])[0]),
        result_of(TwoStageDecoder(network, empty)([DecodeRequest(tokens)])[0]),
        ReferenceDecoder(network, config, catalog, hidden=everything)(DecodeRequest(tokens)),
        ReferenceDecoder(network, config, empty)(DecodeRequest(tokens)),
    ]
    for answer in answers:
        assert len(answer.item_id) == 0
        assert answer.codes.shape == answer.iap_logprob.shape == answer.rsp_logscore.shape == (0, 2)


BAD = {
    "no tokens": (DecodeRequest(np.empty(0, np.int64)), BadRequest, "at least one token"),
    "beams of 0": (DecodeRequest(np.array([5]), beams=(0, 3)), BadRequest, "beams"),
    "negative lambda": (DecodeRequest(np.array([5]), lambdas=(4, -1)), BadRequest, "lambdas"),
    "one width for two levels": (DecodeRequest(np.array([5]), beams=(4,)), BadRequest, "each of 2 levels"),
    "three widths": (DecodeRequest(np.array([5]), lambdas=(4, 4, 4)), BadRequest, "each of 2 levels"),
    "no items asked for": (DecodeRequest(np.array([5]), max_items=0), BadRequest, "max_items"),
    "mix not a number": (DecodeRequest(np.array([5]), iap_mix=float("nan")), BadRequest, "iap_mix"),
    "a token too high": (DecodeRequest(np.array([5, 22])), UnknownToken, "22"),
    "a negative token": (DecodeRequest(np.array([-1])), UnknownToken, "-1"),
    "a prompt too long": (DecodeRequest(np.full(48, 5)), PromptTooLong, "48 tokens.*at most 47"),
    "poisoned states": (DecodeRequest(np.array([6, 2])), EngineFailed, "not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_spoils_only_itself(name: str) -> None:
    request, error, words = BAD[name]
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    with torch.no_grad():
        # A special token whose state is NaN: only a prompt that holds it can be harmed.
        network.model.embed_tokens.weight[2] = torch.nan
    decoder, reference = TwoStageDecoder(network, catalog), ReferenceDecoder(network, config, catalog)
    good = [DecodeRequest(np.array([6, 9, 1])), DecodeRequest(np.array([8, 20, 7, 3, 1]))]
    answers = decoder([good[0], request, good[1]])
    assert isinstance(answers[1], error)
    assert re.search(words, str(answers[1]))
    with pytest.raises(error, match=words):
        reference(request)
    for asked, answer in zip(good, (answers[0], answers[2]), strict=True):
        assert result_of(answer).item_id.tolist() == reference(asked).item_id.tolist()


def test_states_that_break_at_a_later_level_fail_that_request() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    with torch.no_grad():
        network.code_embeddings(2)[0] = torch.inf
    tokens = np.array([config.levels[0].token_offset, 1])
    answer = TwoStageDecoder(network, catalog)([DecodeRequest(tokens)])[0]
    assert isinstance(answer, EngineFailed)


def test_the_longest_prompt_leaves_room_for_the_codes_that_are_fed() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    request = DecodeRequest(prompt(config, 47, 0))
    found = result_of(TwoStageDecoder(network, catalog)([request])[0])
    assert found.item_id.tolist() == ReferenceDecoder(network, config, catalog)(request).item_id.tolist()


def test_an_empty_batch_is_no_work() -> None:
    world = World()
    assert TwoStageDecoder(world.network(), world.catalog())([]) == []


def test_a_catalogue_of_other_levels_is_refused() -> None:
    other = World(sizes=(6, 8)).catalog()
    with pytest.raises(BadBundle, match="levels"):
        TwoStageDecoder(World().network(), other)
    with pytest.raises(BadBundle, match="levels"):
        ReferenceDecoder(World().network(), World().config(), other)


def test_timings_name_every_stage_and_come_from_the_given_clock() -> None:
    world = World()
    config, network, catalog = world.config(), world.network(), world.catalog()
    ticks = iter(range(100))
    decoder = TwoStageDecoder(network, catalog, clock_s=lambda: float(next(ticks)))
    result = result_of(decoder([DecodeRequest(prompt(config, 8, 0))])[0])
    assert result.timings_ms == dict.fromkeys(("prefill", "level1", "level2", "expand"), 1000.0)


def test_bfloat16_decodes_too() -> None:
    world = World(dtype=torch.bfloat16)
    config, network, catalog = world.config(), world.network(), world.catalog()
    decoder = TwoStageDecoder(network, catalog)
    for answer in decoder(requests_of(config, catalog)):
        assert len(result_of(answer).item_id)
