"""Steps on a stream: what was planted is learnt, what would ruin the weights is not, and a pause leaves no trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.behaviors import Level
from contracts.errors import BadConfig, TrainingStuck
from contracts.ids import ItemId
from model.bundle.read import Bundle, read_bundle
from model.bundle.write import write_bundle
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Catalog
from model.training.config import LossConfig
from model.training.incremental.checkpoint import StreamCheckpoints
from model.training.incremental.config import GuardConfig, HeldOutConfig, IncrementalConfig, ReplayConfig
from model.training.incremental.learner import Learner, StepReport
from model.training.incremental.stream_sample import StreamSample
from model.training.taught import Taught
from tests.model.bundle.contents import contents

from ..toys import Toy
from .sampled import message, sample

TOY = Toy(items=12)
CONFIG = IncrementalConfig(
    batch_samples=8,
    learning_rate=1e-2,
    warmup_steps=3,
    held_out=HeldOutConfig(share=0.2, hold_ms=600_000),
    replay=ReplayConfig(share=0.25, reservoir=10),
)


def learner(config: IncrementalConfig = CONFIG, network: RankGRNetwork | None = None) -> Learner:
    return Learner(network or TOY.network(), TOY.fmt, TOY.catalog, config)


def weights(one: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in one.network.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def fed(one: Learner, samples: Iterable[StreamSample]) -> list[StepReport]:
    return [report for each in samples for report in one.feed(each)]


def restored(directory: Path, config: IncrementalConfig = CONFIG) -> Learner:
    found = StreamCheckpoints(directory, config).newest()
    assert found is not None
    network = TOY.network()
    network.load_state_dict(found.network)
    made = Learner(network, TOY.fmt, TOY.catalog, config, intake=found.intake, place=found.place)
    made.restore_optimiser(found.optimiser)
    return made


@pytest.mark.parametrize("cut", [1, 17, 40])
def test_what_was_kept_goes_on_bit_for_bit(tmp_path: Path, cut: int) -> None:
    whole = learner()
    reports = fed(whole, map(sample, range(60)))
    parted = learner()
    first = fed(parted, map(sample, range(cut)))
    StreamCheckpoints(tmp_path, CONFIG).save(parted, {"0": str(cut)}, {"base": "v"})
    # What is lost with the process is made again.
    fed(parted, map(sample, range(cut, 50)))
    again = restored(tmp_path)
    assert first + fed(again, map(sample, range(cut, 60))) == reports
    assert same(weights(again), weights(whole))
    assert again.place == whole.place
    assert again.intake.write() == whole.intake.write()


def test_a_stream_teaches_what_is_planted_in_it() -> None:
    def planted(number: int) -> StreamSample:
        last = number % TOY.items + 1
        told = message(number).model_copy(
            update={
                "item_ids": (ItemId(last % TOY.items + 1),),
                "levels": (Level.CLICK,),
                "history_item_ids": (ItemId(last),),
                "history_levels": (Level.CLICK,),
            }
        )
        return StreamSample.of(told)

    config = dataclasses.replace(CONFIG, batch_samples=16, learning_rate=2e-2, held_out=HeldOutConfig(share=0.0))
    reports = fed(learner(config), map(planted, range(1500)))
    ntp = [report.parts["ntp"] for report in reports]
    assert np.mean(ntp[-10:]) < 0.2 * np.mean(ntp[:3])
    assert reports[-1].replayed == 4
    assert reports[-1].new == 12


def test_a_loss_that_is_no_number_leaves_the_weights_alone_and_ends_training_at_last() -> None:
    network = TOY.network()
    broken = dataclasses.replace(CONFIG, guards=GuardConfig(most_in_a_row=3))
    one = learner(broken, network)
    fed(one, map(sample, range(10)))
    with torch.no_grad():
        network.rank_head.fc2.bias.fill_(torch.nan)
    before, steps = weights(one), one.place.steps
    with pytest.raises(TrainingStuck, match="3 steps in a row were skipped, the last one for its loss"):
        fed(one, map(sample, range(10, 60)))
    after = weights(one)
    assert all(torch.equal(torch.nan_to_num(after[name]), torch.nan_to_num(before[name])) for name in before)
    assert one.place.counts["skipped loss"] == 3
    assert one.place.steps == steps
    assert one.place.counts["skipped_samples"] > 0


def test_a_loss_that_explodes_is_skipped_and_the_next_one_is_learnt() -> None:
    config = dataclasses.replace(CONFIG, guards=GuardConfig(explosion=2.0, calm_steps=2))
    one = learner(config)
    fed(one, map(sample, range(20)))
    before, mean = weights(one), one.place.mean_loss
    one.place.mean_loss = 1e-3
    [report] = [report for report in fed(one, map(sample, range(20, 29)))][:1]
    assert report.skipped == "explosion"
    assert (report.new, report.tokens) == (0, 0)
    assert same(weights(one), before)
    optimiser = one.optimiser_tensors()
    assert max(float(tensor) for name, tensor in optimiser.items() if name.endswith("/step")) == one.place.steps
    one.place.mean_loss = mean
    assert [report.skipped for report in fed(one, map(sample, range(30, 45)))][-1] is None
    assert one.place.skipped_in_row == 0


def test_what_waits_can_be_learnt_from_before_a_step_is_full() -> None:
    one = learner(dataclasses.replace(CONFIG, held_out=HeldOutConfig(share=0.0)))
    assert one.flush() is None
    fed(one, [sample(1), sample(2)])
    report = one.flush()
    assert report is not None
    assert report.new == 2
    assert one.flush() is None
    assert one.place.newest_learnt_ms == sample(2).newest_event_at


def test_samples_without_anything_known_are_counted_and_take_no_step() -> None:
    one = learner()
    nothing = message(1).model_copy(update={"item_ids": (ItemId(77),), "levels": (Level.CLICK,)})
    fed(one, [StreamSample.of(nothing)])
    before = weights(one)
    report = one.flush()
    if report is None:
        # It was held out: its hash decides.
        pytest.fail("sample-1 is held out: take another")
    assert report.skipped == "empty"
    assert one.place.counts["empty_samples"] == 1
    assert one.place.counts["unknown_items"] >= 1
    assert same(weights(one), before)
    assert one.place.newest_learnt_ms is None


def test_the_rate_rises_and_then_stays() -> None:
    one = learner(dataclasses.replace(CONFIG, warmup_steps=4))
    rates = [one._plain.param_groups[0]["lr"] for number in range(60) if one.feed(sample(number))]
    assert rates[:5] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    assert rates[-1] == 0.01


def test_another_catalogue_is_adopted_without_losing_a_step() -> None:
    one = learner()
    fed(one, map(sample, range(20)))
    optimiser, before = one.optimiser_tensors(), weights(one)
    grown = dataclasses.replace(TOY, items=15)
    old = TOY.catalog
    free = [codes for codes in np.ndindex(*TOY.sizes) if list(codes) not in old.codes.tolist()][
        : grown.items - TOY.items
    ]
    catalog = Catalog(
        item_id=np.arange(1, grown.items + 1),
        codes=np.concatenate([old.codes, np.array(free, np.int32)]),
        popularity=np.ones(grown.items, np.float32),
        level_sizes=TOY.sizes,
    )
    one.adopt(catalog)
    assert same(weights(one), before)
    assert same(one.optimiser_tensors(), optimiser)
    unknown = one.place.counts["unknown_items"]
    fed(one, map(sample, range(20, 60)))
    assert one.place.counts["unknown_items"] == unknown
    assert one.catalog.version == catalog.version


OTHERS = LossConfig(alpha=0.5, gamma=0.2)


def other_bundle(place: Path) -> Bundle:
    """Another model, that was taught by other losses."""
    told = Taught(losses=OTHERS, samples=CONFIG.samples, learning_rate=4e-3, embedding_rate=3.0).to_json()
    write_bundle(dataclasses.replace(contents(4), newest_interaction_ms=5, training=told), place)
    return read_bundle(place)


def test_beginning_anew_keeps_what_waits_and_forgets_the_optimiser(tmp_path: Path) -> None:
    one, other = learner(), other_bundle(tmp_path / "other")
    fed(one, map(sample, range(30)))
    waiting, reservoir = list(one.intake.pending), list(one.intake.reservoir)
    one.begin_anew(other)
    assert not one.optimiser_tensors()
    assert (list(one.intake.pending), one.intake.reservoir) == (waiting, reservoir)
    assert one.place.newest_learnt_ms == 5
    assert same(weights(one), other.weights)
    # Losses were given, and stay.
    assert one.config == CONFIG


def test_losses_are_those_of_the_bundle_that_is_gone_on_from_where_they_follow(tmp_path: Path) -> None:
    asked = dataclasses.replace(CONFIG, follow_losses=True)
    one = learner(asked)
    one.begin_anew(other_bundle(tmp_path / "other"))
    assert one.config == dataclasses.replace(asked, losses=OTHERS, embedding_rate=3.0)
    assert one.intake.config == one.config
    write_bundle(contents(4), tmp_path / "older")
    one.begin_anew(read_bundle(tmp_path / "older"))
    assert one.config.losses == OTHERS
    both = learner(dataclasses.replace(asked, follow_rate=True))
    both.begin_anew(read_bundle(tmp_path / "other"))
    assert both.config.learning_rate == 2e-3


def test_without_rsp_the_rank_head_stays_as_it_is() -> None:
    one = learner(dataclasses.replace(CONFIG, losses=LossConfig(gamma=0.0)))
    before = weights(one)
    fed(one, map(sample, range(40)))
    after = weights(one)
    assert not same(after, before)
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("rank_head."))


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    kept = StreamCheckpoints(tmp_path, CONFIG)
    assert kept.newest() is None
    kept.save(learner(), {}, {})
    [path] = tmp_path.glob("checkpoint-*")
    (path / "samples.msgpack").write_bytes(b"\x01")
    with pytest.raises(BadConfig, match="damaged checkpoint"):
        kept.newest()
    # What a reader beside the trainer sees whose checkpoint is dropped for the next one.
    (path / "optimiser.safetensors").unlink()
    with pytest.raises(BadConfig, match="damaged checkpoint"):
        kept.newest()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    kept = StreamCheckpoints(tmp_path, CONFIG)
    one = learner()
    kept.save(one, {"0": "1"}, {"base": "a"})
    (tmp_path / ".checkpoint-00000002.partial").write_text("in the way")
    with pytest.raises(OSError, match="checkpoint"):
        kept.save(one, {"0": "2"}, {"base": "b"})
    found = kept.newest()
    assert found is not None
    assert (found.positions, found.told) == ({"0": "1"}, {"base": "a"})
