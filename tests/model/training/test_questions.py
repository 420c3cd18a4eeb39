"""What RSP is asked: bounded, chosen by chance that nobody's company changes, and about wrong prefixes too."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from model.semantic_id.trie import Trie
from model.training.batches import ask
from model.training.chance import uniform_at
from model.training.config import LossConfig, SampleConfig
from model.training.losses import rsp_loss
from model.training.packing import pack
from model.training.questions import Questions
from model.training.states import States
from model.training.step import TrainingLosses
from model.training.valid_codes import ValidCodes

from .alone import sessions_alone, states_alone
from .toys import Toy, drawn, packed_whole, random_timeline

SAMPLES = SampleConfig(targets=4, sampled_negatives=1, row_sessions=3)
WHOLE = LossConfig(hard_candidates=1000, rsp_targets=1000, rsp_prefixes=1000)


def test_no_more_is_asked_than_allowed_and_of_a_session_the_strongest_first() -> None:
    toy = Toy()
    samples = drawn(toy, [random_timeline(toy, seed) for seed in range(8)], SAMPLES)
    rows = np.arange(len(samples))
    owner_T = np.repeat(np.arange(len(samples.chance_N)), np.diff(samples.first_N))
    bounded = ask(samples, rows, LossConfig(rsp_targets=1, rsp_prefixes=5))
    assert (len(bounded.sessions), len(bounded.targets)) == (5, 5)
    assert len(set(owner_T[bounded.targets].tolist())) == 5
    everything = ask(samples, rows, LossConfig(rsp_targets=1, rsp_prefixes=1000))
    assert everything.sessions.tolist() == list(range(len(samples.chance_N)))
    label_G = np.array([0.0, *WHOLE.rsp_labels.by_strength()])
    worth_T = label_G[samples.level_T] * samples.ntp_T
    for target in everything.targets.tolist():
        own = worth_T[owner_T == owner_T[target]]
        # Chance is worth half a label: it decides between a click and a purchase, not between those and exposures.
        assert worth_T[target] >= own.max() - 0.5


def test_what_is_asked_of_some_rows_does_not_depend_on_the_others() -> None:
    toy = Toy()
    network = toy.shaken()
    samples = drawn(toy, [random_timeline(toy, seed) for seed in range(4)], SAMPLES)
    rows = np.arange(len(samples))
    config = dataclasses.replace(WHOLE, hard_candidates=1, random_candidates=1, wrong_prefix_k=1, history=0.4)
    losses = TrainingLosses(network, ValidCodes(Trie.of_catalog(toy.catalog)), config)
    asked = ask(samples, rows, config)
    with torch.no_grad():
        whole = losses(pack(samples, rows, toy.fmt, asked))
        tallies: list[torch.Tensor] = []

        def noted(tally: torch.Tensor) -> torch.Tensor:
            tallies.append(tally)
            return tally

        for part in (rows[0::2], rows[1::2]):
            TrainingLosses(network, ValidCodes(Trie.of_catalog(toy.catalog)), config, noted)(
                pack(samples, part, toy.fmt, asked)
            )
        total = tallies[0] + tallies[1]
        shared = TrainingLosses(network, ValidCodes(Trie.of_catalog(toy.catalog)), config, lambda _own: total)
        shares = [shared(pack(samples, part, toy.fmt, asked)) for part in (rows[0::2], rows[1::2])]
    for name in ("total", "ntp", "ldpo", "rsp", "history"):
        found = sum(float(getattr(share, name)) for share in shares)
        assert found == pytest.approx(float(getattr(whole, name)), rel=1e-6), name


def test_a_process_without_a_row_of_its_own_counts_for_nothing() -> None:
    toy = Toy()
    losses = TrainingLosses(toy.network(), ValidCodes(Trie.of_catalog(toy.catalog)), WHOLE)
    step = losses(packed_whole(drawn(toy, [random_timeline(toy, 0)]), toy.fmt).as_idle())
    assert [float(part.detach()) for part in (step.total, step.ntp, step.ldpo, step.rsp)] == [0.0] * 4
    step.total.backward()
    gradients = [weight.grad for weight in losses.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("sizes", [(4, 5), (3, 4, 3)], ids=["m=2", "m=3"])
def test_wrong_prefixes_are_the_model_s_best_codes_that_no_target_has_and_all_that_follows_is_wrong(
    sizes: tuple[int, ...],
) -> None:
    toy = Toy(sizes)
    network = toy.shaken()
    samples = drawn(toy, [random_timeline(toy, 3, most=2), random_timeline(toy, 4, length=5)], SAMPLES)
    valid = ValidCodes(Trie.of_catalog(toy.catalog))
    batch = packed_whole(samples, toy.fmt)
    first_codes = sorted({int(code) for code in toy.catalog.codes[:, 0]})
    with torch.no_grad():
        found = TrainingLosses(network, valid, dataclasses.replace(WHOLE, wrong_prefix_k=2))(batch)
        level_2 = []
        prompts = [
            np.concatenate([row.history_L[: sample.visible], sample.context_C])
            for row in samples.rows()
            for sample in row.sessions
        ]
        for prompt, alone in zip(prompts, sessions_alone(network, list(samples.rows()), toy.fmt), strict=True):
            logit_V = network.level_logits(alone.prompt_LD[-1], 1)
            targets = {int(codes[0]) for codes in alone.sample.codes_Km}
            best = [code for code in torch.argsort(-logit_V).tolist() if code in first_codes and code not in targets]
            for wrong in best[:2]:
                state_D = states_alone(network, np.append(prompt, toy.fmt.token_offsets[0] + wrong))[-1]
                keys_TD = torch.cat([alone.keys_HD, alone.prompt_LD[-1:], state_D[None]])
                following = sorted({int(codes[1]) for codes in toy.catalog.codes if codes[0] == wrong})
                level_2.append(network.rank_head.score_logits(network.code_embeddings(2)[following], keys_TD))
        wrong_C = torch.cat(level_2)
        assert len(wrong_C) > 10
        # With no wrong prefixes the same, but for those candidates: found by taking the level's sum apart.
        states = States.of(network, batch)
        logp = [log_softmax(network.level_logits(states.marker_ND, 1), -1)]
        deeper = range(2, len(sizes) + 1)
        logp += [log_softmax(network.level_logits(states.code_TjD[:, level - 2], level), -1) for level in deeper]
        parts = Questions(network, valid, WHOLE)(batch, states, logp)
        merged = rsp_loss(
            torch.cat([parts[1].logit_C, wrong_C]),
            torch.cat([parts[1].label_C, torch.zeros(len(wrong_C))]),
            torch.cat([parts[1].weight_C, torch.ones(len(wrong_C))]),
            parts[1].prefixes + len(level_2),
        )
        others = sum(float(rsp_loss(*each)) for number, each in enumerate(parts) if number != 1)
    assert float(found.rsp) == pytest.approx(float(merged) + others, rel=1e-6)


@pytest.mark.parametrize(("hard", "drawn_by_chance"), [(1, 1), (2, 3), (3, 0), (40, 40)])
def test_candidates_stand_for_all_codes_that_lead_to_an_item(hard: int, drawn_by_chance: int) -> None:
    toy = Toy((6, 9), items=30)
    network = toy.shaken()
    samples = drawn(toy, [random_timeline(toy, seed) for seed in range(3)], SAMPLES)
    config = dataclasses.replace(WHOLE, hard_candidates=hard, random_candidates=drawn_by_chance)
    valid, batch = ValidCodes(Trie.of_catalog(toy.catalog)), packed_whole(samples, toy.fmt)
    with torch.no_grad():
        states = States.of(network, batch)
        logp = [
            log_softmax(network.level_logits(states.marker_ND, 1), -1),
            log_softmax(network.level_logits(states.code_TjD[:, 0], 2), -1),
        ]
        for level, found in enumerate(Questions(network, valid, config)(batch, states, logp), start=1):
            prefix_Gj = batch.codes_Tm[:, : level - 1] if level > 1 else batch.codes_Tm.new_empty(len(batch.row_N), 0)
            codes_G = valid.following(prefix_Gj).sum(-1).double()
            label_GC = found.label_C.view(found.prefixes, -1)
            weight_GC = found.weight_C.view(found.prefixes, -1) * label_GC.sum(-1, keepdim=True).clamp(min=1.0)
            # Drawn from or not, nothing is counted twice or forgotten; without draws the rest is nobody's.
            if drawn_by_chance:
                assert torch.allclose(weight_GC.sum(-1).double(), codes_G, rtol=1e-6)
            assert bool((weight_GC.sum(-1) <= codes_G + 1e-6).all())


def test_detached_rsp_reaches_the_rank_head_alone() -> None:
    toy = Toy()
    samples = drawn(toy, [random_timeline(toy, seed) for seed in range(3)], SAMPLES)
    reached = {}
    for detached in (False, True):
        network = toy.network()
        config = LossConfig(
            alpha=0.0, detached=detached, wrong_prefix_k=1, ntp_weights=type(WHOLE.ntp_weights).all(0.0)
        )
        step = TrainingLosses(network, ValidCodes(Trie.of_catalog(toy.catalog)), config)(packed_whole(samples, toy.fmt))
        step.total.backward()
        reached[detached] = {
            name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()
        }
    assert all(name.startswith("rank_head.") for name in reached[True])
    assert len(reached[True]) == sum(name.startswith("rank_head.") for name in reached[False])
    assert any(name.startswith("model.layers.") for name in reached[False])


def test_chance_is_uniform_and_a_function_of_seed_place_and_salt() -> None:
    seed_G = torch.from_numpy(np.random.default_rng(0).integers(0, 2**63 - 1, 400))
    drawn_GV = uniform_at(seed_G, 256, salt=1)
    assert torch.equal(uniform_at(seed_G[7:9], 256, salt=1), drawn_GV[7:9])
    assert not torch.equal(uniform_at(seed_G, 256, salt=2), drawn_GV)
    assert 0.0 <= float(drawn_GV.min()) < 0.001
    assert 0.999 < float(drawn_GV.max()) < 1.0
    counts = torch.histc(drawn_GV, bins=16, min=0.0, max=1.0) / drawn_GV.numel()
    assert float((counts - 1 / 16).abs().max()) < 0.003
    # Neighbours, by place and by seed, know nothing of each other.
    for one, other in ((drawn_GV[:, 1:], drawn_GV[:, :-1]), (drawn_GV[1:], drawn_GV[:-1])):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.02
