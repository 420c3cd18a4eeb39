"""A fit learns what was planted, gives equal weights for equal seeds, and stops when its tokens are spent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.behaviors import Level
from contracts.errors import BadConfig, BadDataSet
from contracts.progress import Silent
from model.data.timelines import Timeline
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.network.network import RankGRNetwork
from model.prompt import PromptContext, prompt_from_history
from model.semantic_id.trie import Trie
from model.training.config import (
    FitConfig,
    LossConfig,
    OptimiserConfig,
    PerLevel,
    SampleConfig,
    ValidationConfig,
)
from model.training.fit import Fit, FitReport
from model.training.run_directory import LOG_FILE, RunDirectory
from model.training.session_table import SessionTable
from model.training.step import TrainingLosses
from model.training.valid_codes import ValidCodes

from .toys import Toy, drawn, packed_whole, session, timeline
from .watched import Notebook

TOY = Toy(items=12)
SHORT = FitConfig(optimiser=OptimiserConfig(tokens=2_000, batch_tokens=200, learning_rate=3e-2))


def with_budget(config: FitConfig = SHORT, **changes: object) -> FitConfig:
    """`config`, with another budget."""
    optimiser = dataclasses.replace(config.optimiser, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(config, optimiser=optimiser)


def in_circles(length: int = 4) -> list[Timeline]:
    """Whoever clicked on item i clicks on item i + 1 next, after the last on the first; one user from each item."""
    made = []
    for start in range(TOY.items):
        items = [(start + step) % TOY.items + 1 for step in range(length)]
        sessions = [session(cut, [items[cut]], [Level.CLICK]) for cut in range(1, length)]
        made.append(timeline(items, sessions))
    return made


def blocks_of(users: list[Timeline]) -> tuple[SessionTable, ...]:
    return (SessionTable.of(users, TOY.fmt, TOY.catalog),)


def fitted(users: list[Timeline], config: FitConfig) -> tuple[RankGRNetwork, FitReport]:
    network = TOY.network()
    report = Fit(TOY.fmt, TOY.catalog, config, Silent())(network, blocks_of(users))
    return network, report


def decode(network: RankGRNetwork, histories: list[list[int]]) -> list[DecodeResult]:
    """Lists over the whole catalogue, for a user in the hour of the toy's sessions."""
    context = PromptContext(scene="home", hour=0, device="mobile")
    requests = []
    for items in histories:
        levels = [Level.CLICK] * len(items)
        prompt = prompt_from_history(TOY.fmt, TOY.catalog, items, [int(level) for level in levels], context)
        requests.append(DecodeRequest(prompt.tokens))
    answers = TwoStageDecoder(network, TOY.catalog)(requests)
    results = [answer for answer in answers if isinstance(answer, DecodeResult)]
    assert len(results) == len(histories)
    return results


def test_equal_seeds_give_equal_weights_bit_for_bit() -> None:
    weights = [fitted(in_circles(), dataclasses.replace(SHORT, seed=seed))[0].state_dict() for seed in (3, 3, 4)]
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name
    assert any(not torch.equal(weight, weights[2][name]) for name, weight in weights[0].items())


def losses_on(network: RankGRNetwork, users: list[Timeline]) -> list[float]:
    """NTP, LDPO and RSP, with the same draws each time."""
    losses = TrainingLosses(network, ValidCodes(Trie.of_catalog(TOY.catalog)), SHORT.losses)
    with torch.no_grad():
        step = losses(packed_whole(drawn(TOY, users), TOY.fmt))
    return [float(step.ntp), float(step.ldpo), float(step.rsp)]


def test_the_losses_fall_and_the_planted_next_item_comes_first() -> None:
    before = losses_on(TOY.network(), in_circles())
    # At the short fits' rate another processor's rounding decides which of two neighbours comes first.
    network, _ = fitted(in_circles(), with_budget(tokens=48_000, learning_rate=1e-2))
    after = losses_on(network, in_circles())
    # LDPO and RSP are held against negatives drawn anew: they fall, but not to nothing.
    assert after[0] < 0.2 * before[0]
    assert after[1] < 0.5 * before[1]
    assert after[2] < 0.8 * before[2]
    histories = [[(last - 2) % TOY.items + 1, (last - 1) % TOY.items + 1] for last in range(TOY.items)]
    for last, result in enumerate(decode(network, histories)):
        assert result.item_id[0] == last % TOY.items + 1
        assert len(result.item_id) == TOY.items


def graded(users: int = 16, seed: int = 1) -> list[Timeline]:
    """Of every page the item of 1..4 is bought, that of 5..8 clicked, that of 9..12 only seen."""
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(users):
        items = chance.integers(1, TOY.items + 1, 6).tolist()
        sessions = [
            session(
                cut,
                [int(chance.integers(first, first + 4)) for first in (9, 1, 5)],
                [Level.EXPOSURE, Level.PURCHASE, Level.CLICK],
            )
            for cut in range(1, 6)
        ]
        made.append(timeline(items, sessions))
    return made


def log_likelihoods(alpha: float) -> list[float]:
    """Mean of eq. 5 over bought, clicked and seen items, with NTP alike for all of them."""
    losses = LossConfig(alpha=alpha, gamma=0.0, ntp_weights=PerLevel.all(1.0))
    config = dataclasses.replace(with_budget(tokens=8_000, batch_tokens=300), losses=losses)
    network, _ = fitted(graded(), config)
    means = np.zeros(TOY.items)
    histories = [[1, 6], [9, 2, 5], [12], [7, 7, 3], [10, 4], [8, 11, 2, 1]]
    for result in decode(network, histories):
        means[result.item_id - 1] += result.iap_logprob.sum(1) / len(histories)
    return [float(means[first : first + 4].mean()) for first in (0, 4, 8)]


def test_ldpo_lifts_what_was_bought_above_what_was_clicked_above_what_was_seen() -> None:
    # Three times the paper's weight, so that a short training shows it.
    bought, clicked, seen = log_likelihoods(alpha=3.0)
    assert bought > clicked + 0.2
    assert clicked > seen + 0.2
    plain_bought, _, plain_seen = log_likelihoods(alpha=0.0)
    assert abs(plain_bought - plain_seen) < 0.5 * (bought - seen)


def test_the_budget_is_spent_and_told() -> None:
    notebook = Notebook()
    report = Fit(TOY.fmt, TOY.catalog, SHORT, notebook)(TOY.network(), blocks_of(in_circles()))
    assert notebook.stages == [("training", SHORT.optimiser.tokens)]
    assert sum(notebook.units) == SHORT.optimiser.tokens
    # Nothing is done at the beginning, and that is told, too.
    assert len(notebook.units) == 1 + report.steps
    assert SHORT.optimiser.tokens <= report.tokens < SHORT.optimiser.tokens + SHORT.optimiser.batch_tokens
    assert report.epochs > 1
    told = f"ntp {report.ntp:.3f} ldpo {report.ldpo:.3f} rsp {report.rsp:.3f}, "
    assert notebook.notes[-1].startswith(told)
    assert notebook.notes[-1].endswith(" tokens/s")


def test_a_training_that_diverges_ends_at_once_and_keeps_no_checkpoint_of_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "mine")
    run.begin(resume=False, replace=False)
    hot = dataclasses.replace(with_budget(learning_rate=1e9, clip=1e9), checkpoint_tokens=200)
    with pytest.raises(BadConfig, match="diverged in step"):
        Fit(TOY.fmt, TOY.catalog, hot, Silent(), run)(TOY.network(), blocks_of(in_circles()))
    for line in (tmp_path / LOG_FILE).read_text().splitlines():
        assert np.isfinite(json.loads(line)["loss"])
    assert run.newest() is None


def test_a_fitted_network_is_ready_to_serve() -> None:
    network, _ = fitted(in_circles()[:2], with_budget(tokens=1))
    assert not network.training


def test_timelines_that_give_no_row_are_refused() -> None:
    nobody = timeline([999], [session(1, [1], [Level.CLICK])])
    with pytest.raises(BadDataSet, match="nothing to train on"):
        fitted([nobody], SHORT)


def test_a_row_longer_than_a_batch_is_a_batch_of_its_own() -> None:
    config = dataclasses.replace(with_budget(tokens=150, batch_tokens=1), samples=SampleConfig(row_sessions=1))
    _, report = fitted(in_circles(), config)
    assert report.steps > 5


class Falling:
    """A validation metric that is best at the second look."""

    def __init__(self) -> None:
        self.looks: list[dict[str, torch.Tensor]] = []

    def __call__(self, network: RankGRNetwork) -> float:
        """0.1, 0.3, then worse and worse."""
        assert not network.training
        self.looks.append({name: weight.clone() for name, weight in network.state_dict().items()})
        return [0.1, 0.3][len(self.looks) - 1] if len(self.looks) < 3 else 0.2 / len(self.looks)


def test_validation_stops_a_fit_that_gets_no_better_and_keeps_the_best_weights(tmp_path: Path) -> None:
    validation = ValidationConfig(every_tokens=300, patience=2)
    config = dataclasses.replace(with_budget(tokens=50_000), validation=validation)
    look, network = Falling(), TOY.network()
    run = RunDirectory(tmp_path / "run", "toy")
    run.begin(resume=False, replace=False)
    report = Fit(TOY.fmt, TOY.catalog, config, Silent(), run, look)(network, blocks_of(in_circles()))
    assert len(look.looks) == 4
    assert report.tokens < 3_000
    assert report.best == 0.3
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, look.looks[1][name]), name
    lines = [json.loads(line) for line in (run.path / LOG_FILE).read_text().splitlines()]
    found = [(line["validation"]["NDCG@10"], line["best"]) for line in lines if "validation" in line]
    assert found == [(0.1, True), (0.3, True), (pytest.approx(0.2 / 3), False), (0.05, False)]
    steps = [line for line in lines if "loss" in line]
    assert len(steps) == report.steps
    assert steps[-1].keys() >= {"step", "epoch", "tokens", "ntp", "ldpo", "rsp", "loss", "rate", "gradient_norm"}
    assert steps[-1]["loss"] == pytest.approx(sum(steps[-1][part] for part in ("ntp", "ldpo", "rsp")), rel=1e-5)


class Rising(Falling):
    """Sees every look, and likes each better."""

    def __call__(self, network: RankGRNetwork) -> float:
        super().__call__(network)
        return float(len(self.looks))


@pytest.mark.parametrize("every_tokens", [700, 100_000])
def test_what_was_learnt_after_the_last_look_is_looked_at_too(every_tokens: int) -> None:
    config = dataclasses.replace(with_budget(tokens=1_600), validation=ValidationConfig(every_tokens=every_tokens))
    look, network = Rising(), TOY.network()
    report = Fit(TOY.fmt, TOY.catalog, config, Silent(), None, look)(network, blocks_of(in_circles()))
    assert len(look.looks) == 1_600 // every_tokens + 1
    assert report.best == len(look.looks)
    # The last weights are the best ones, and stay.
    assert all(torch.equal(weight, look.looks[-1][name]) for name, weight in network.state_dict().items())


def test_dropout_disturbs_training_alone_and_is_a_function_of_the_seed() -> None:
    users = in_circles()
    plain, _ = fitted(users, SHORT)
    dropped, again = (fitted(users, dataclasses.replace(SHORT, dropout=0.3))[0] for _ in range(2))
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(dropped.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(dropped.state_dict()[name], plain.state_dict()[name])
    tokens = torch.arange(6)[None]
    dropped.train()
    with torch.no_grad():
        assert torch.equal(dropped(tokens, tokens), dropped(tokens, tokens))


def test_half_precision_learns_as_well_and_leaves_the_weights_whole() -> None:
    before = losses_on(TOY.network(), in_circles())
    network, _ = fitted(in_circles(), with_budget(tokens=18_000, precision="bf16"))
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert losses_on(network, in_circles())[0] < 0.3 * before[0]
    # And what comes after is as precise as ever.
    whole, _ = fitted(in_circles(), SHORT)
    assert torch.equal(whole.state_dict()["model.norm.weight"], fitted(in_circles(), SHORT)[0].model.norm.weight)


def test_without_rsp_the_rank_head_says_nothing_and_iap_alone_orders() -> None:
    config = dataclasses.replace(with_budget(tokens=4_000), losses=LossConfig(gamma=0.0))
    network, report = fitted(in_circles(), config)
    assert report.rsp == 0.0
    for result in decode(network, [[1, 2], [5]]):
        assert (np.diff(result.iap_logprob.sum(1)) <= 1e-6).all()
        assert len(np.unique(result.rsp_logscore)) == 1
