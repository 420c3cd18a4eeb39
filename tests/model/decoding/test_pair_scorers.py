"""Every form of pair scoring against the direct rank head, one beam at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch.nn import functional

from contracts.errors import EngineFailed
from model.decoding.beams import Beams
from model.decoding.blocks import Blocks
from model.decoding.code_table import CodeQueries, CodeTable
from model.decoding.merge_own_keys import MergeInTorch
from model.decoding.pairs import PairScorer, Part, ScoredPairs
from model.decoding.pairs_in_torch import PairsInTorch
from model.decoding.pairs_on_cpu import PairsOnCpu
from model.decoding.request import DecodePlan
from model.decoding.trie_on_device import TrieLevel, levels_of
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys
from model.semantic_id.trie import Trie

from .small_worlds import World


def in_torch(network: RankGRNetwork, trie: tuple[TrieLevel, ...], blocks: Blocks) -> PairScorer:
    return PairsInTorch(network, trie, blocks, MergeInTorch(network.rank_head, blocks))


Make = Callable[[RankGRNetwork, tuple[TrieLevel, ...]], PairScorer]
SCORERS: dict[str, tuple[Make, torch.dtype, float]] = {
    "torch": (lambda network, trie: in_torch(network, trie, Blocks()), torch.float64, 1e-9),
    "torch, small blocks": (
        lambda network, trie: in_torch(network, trie, Blocks(scores=300, pairs=200)),
        torch.float64,
        1e-9,
    ),
    "compiled for the CPU": (lambda network, trie: PairsOnCpu(network, trie, Blocks()), torch.float32, 2e-5),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Random beams above one level of a random trie, and everything that scoring them needs."""

    network: RankGRNetwork
    trie: Trie
    level: int
    shared: torch.Tensor
    own: torch.Tensor
    part: Part

    @classmethod
    @torch.inference_mode()
    def draw(
        cls, own_keys: int, world: World, *, most: int, scope: Literal["prefix", "request"] = "prefix", mix: float = 0.0
    ) -> Scene:
        network, catalog = world.network(), world.catalog()
        trie, chance, level = Trie.of_catalog(catalog), torch.Generator().manual_seed(1), own_keys + 1
        nodes = len(trie.code[level - 2]) if own_keys else 1
        node = torch.randperm(nodes, generator=chance)[:12].sort().values

        def drawn(kind: Callable[..., torch.Tensor], *shape: int) -> torch.Tensor:
            return kind(shape, generator=chance, dtype=torch.float64)

        shared = drawn(torch.randn, 9, 16).to(world.dtype)
        own = drawn(torch.randn, len(node), own_keys, 16).to(world.dtype)
        keys = network.rank_head.project(own)
        beams = Beams(
            node=node,
            code=node * 0,
            score=-drawn(torch.rand, len(node)),
            iap=-drawn(torch.rand, len(node), own_keys),
            rsp=-drawn(torch.rand, len(node), own_keys),
            keys=(),
            values=(),
            own=Keys(keys.key, keys.value) if own_keys else None,
        )
        removed = trie.without(np.flatnonzero(np.random.default_rng(3).random(len(catalog)) < 0.3))
        plan = DecodePlan(
            tokens=np.zeros(1, np.int64),
            beams=(99,) * len(world.sizes),
            lambdas=(most,) * len(world.sizes),
            lambda_scope=scope,
            iap_mix=mix,
            exclude=frozenset(),
            item_filter=None,
            max_items=None,
        )
        with torch.inference_mode():
            table = CodeTable(network.rank_head, CodeQueries.of(network, level), network.rank_head.project(shared))
        state = drawn(torch.randn, len(node), 16).to(world.dtype)
        return cls(network, trie, level, shared, own, Part(plan, beams, state, table, removed.dead[level - 1], -np.inf))

    @torch.inference_mode()
    def by_hand(self) -> dict[tuple[int, int], tuple[float, float, float]]:
        """(row, node) -> log p, log s, score of every pair that the plan lets through."""
        plan, beams, level = self.part.plan, self.part.beams, self.level
        dead = set(self.part.dead.tolist())
        found: list[tuple[float, int, int, float]] = []
        logp_BV = torch.log_softmax(
            functional.linear(self.part.state, self.network.code_embeddings(level)).double(), -1
        )
        for row, above in enumerate(beams.node.tolist()):
            start = self.trie.child_start[level - 1]
            mine = [
                (float(logp_BV[row, self.trie.code[level - 1][node]]), row, node)
                for node in range(start[above], start[above + 1])
                if node not in dead
            ]
            if plan.lambda_scope == "prefix":
                mine = sorted(mine, key=lambda pair: (-pair[0], pair[2]))[: plan.lambdas[level - 1]]
            found += [(logp + float(beams.iap[row].sum()), row, node, logp) for logp, row, node in mine]
        if plan.lambda_scope == "request":
            found = sorted(found, key=lambda pair: (-pair[0], pair[1], pair[2]))[: plan.lambdas[level - 1]]
        answers = {}
        for _, row, node, logp in found:
            code = int(self.trie.code[level - 1][node])
            keys = torch.cat((self.shared, self.own[row]))
            logit = self.network.rank_head.score_logits(self.network.code_embeddings(level)[[code]], keys)
            logs = float(functional.logsigmoid(logit.double())[0])
            answers[row, node] = (logp, logs, float(beams.score[row]) + logs + plan.iap_mix * logp)
        return answers


def scored(scorer: PairScorer, scene: Scene) -> dict[tuple[int, int], tuple[float, float, float]]:
    with torch.inference_mode():
        answer = scorer(scene.level, [scene.part])[0]
    assert isinstance(answer, ScoredPairs), repr(answer)
    parts = (answer.row, answer.node, answer.iap, answer.rsp, answer.score)
    assert [part.dtype for part in parts] == [torch.int64] * 2 + [torch.float64] * 3
    columns = zip(*(part.tolist() for part in parts), strict=True)
    found = {(row, node): (iap, rsp, score) for row, node, iap, rsp, score in columns}
    assert len(found) == len(answer.row), "a pair was given twice"
    return found


def assert_same(
    found: dict[tuple[int, int], tuple[float, float, float]],
    expected: dict[tuple[int, int], tuple[float, float, float]],
    within: float,
) -> None:
    assert found.keys() == expected.keys()
    for pair, values in expected.items():
        np.testing.assert_allclose(found[pair], values, rtol=0, atol=within)


@pytest.mark.parametrize("items", [30, 600])
@pytest.mark.parametrize("mode", ["mha", "literal"])
@pytest.mark.parametrize("mlp_input", ["attn", "attn_query"])
@pytest.mark.parametrize("own_keys", [0, 1, 2])
@pytest.mark.parametrize("name", SCORERS)
def test_pairs_score_like_the_direct_head(
    name: str, own_keys: int, mlp_input: Literal["attn", "attn_query"], mode: Literal["mha", "literal"], items: int
) -> None:
    make, dtype, within = SCORERS[name]
    # Few items leave most pairs out of the trie, many leave hardly one: both ways to gather are walked.
    world = World(sizes=(4, 5, 20), items=items, mode=mode, mlp_input=mlp_input, dtype=dtype)
    scene = Scene.draw(own_keys, world, most=99)
    with torch.inference_mode():
        scorer = make(scene.network, levels_of(scene.trie, torch.device("cpu")))
    assert_same(scored(scorer, scene), scene.by_hand(), within)


@pytest.mark.parametrize("scope", ["prefix", "request"])
@pytest.mark.parametrize("mix", [0.0, 0.5])
@pytest.mark.parametrize("most", [1, 3, 7])
@pytest.mark.parametrize("name", SCORERS)
def test_only_the_top_lambda_by_iap_are_scored(
    name: str, most: int, mix: float, scope: Literal["prefix", "request"]
) -> None:
    make, dtype, within = SCORERS[name]
    scene = Scene.draw(2, World(sizes=(4, 5, 20), items=400, dtype=dtype), most=most, scope=scope, mix=mix)
    with torch.inference_mode():
        scorer = make(scene.network, levels_of(scene.trie, torch.device("cpu")))
    assert_same(scored(scorer, scene), scene.by_hand(), within)


@pytest.mark.parametrize("name", SCORERS)
def test_what_cannot_reach_the_cut_may_be_left_out_and_nothing_else(name: str) -> None:
    make, dtype, within = SCORERS[name]
    scene = Scene.draw(1, World(sizes=(8, 30), items=600, dtype=dtype), most=99)
    everything = scene.by_hand()
    least = float(np.float32(np.median([score for _, _, score in everything.values()])))
    part = scene.part
    cut = Part(part.plan, part.beams, part.state, part.table, part.dead, least)
    scene = Scene(scene.network, scene.trie, scene.level, scene.shared, scene.own, cut)
    with torch.inference_mode():
        scorer = make(scene.network, levels_of(scene.trie, torch.device("cpu")))
    found = scored(scorer, scene)
    assert {pair for pair, (_, _, score) in everything.items() if score > least + within} <= found.keys()
    assert_same(found, {pair: everything[pair] for pair in found}, within)


@pytest.mark.parametrize("name", SCORERS)
def test_scores_that_are_not_finite_are_an_error_of_their_part_alone(name: str) -> None:
    make, dtype, _ = SCORERS[name]
    scene = Scene.draw(1, World(sizes=(8, 30), items=300, dtype=dtype), most=99)
    part = scene.part
    broken = Part(part.plan, part.beams, torch.full_like(part.state, torch.nan), part.table, part.dead, part.least)
    with torch.inference_mode():
        scorer = make(scene.network, levels_of(scene.trie, torch.device("cpu")))
        answers = scorer(scene.level, [part, broken, part])
    assert isinstance(answers[1], EngineFailed)
    assert all(isinstance(answer, ScoredPairs) for answer in (answers[0], answers[2]))
