"""What several processes of one training do together: the main one says it, all of them do it, in one order."""

from __future__ import annotations

from pathlib import Path

import msgspec

from model.bundle.prompt_side import read_prompt_side
from model.bundle.read import read_bundle
from model.training.incremental.learner import Learner, StepReport
from model.training.incremental.stream_sample import StreamSample


class Learn(msgspec.Struct, frozen=True, tag=True):
    """Take these samples in, and the steps that are due with them.  None at all: still here."""

    samples: list[StreamSample]


class LearnTheRest(msgspec.Struct, frozen=True, tag=True):
    """A step with what waits."""


class TakeCatalogue(msgspec.Struct, frozen=True, tag=True):
    """Go on with this bundle's catalogue; the weights stay."""

    bundle: str


class BeginAnew(msgspec.Struct, frozen=True, tag=True):
    """Go on from this bundle's weights."""

    bundle: str


class End(msgspec.Struct, frozen=True, tag=True):
    """No further order comes."""


Order = Learn | LearnTheRest | TakeCatalogue | BeginAnew | End

_decoder: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)


def give(learner: Learner, order: Order) -> list[StepReport]:
    """In the main process: tell the others, and do it.  Raises TrainingStuck, BadBundle."""
    if learner.devices.processes > 1:
        learner.devices.bytes_from_main(msgspec.msgpack.encode(order))
    return obey(learner, order)


def follow_orders(learner: Learner) -> None:
    """In the others: do what is said until the end.  Raises TrainingStuck, BadBundle."""
    while not isinstance(order := _decoder.decode(learner.devices.bytes_from_main(b"")), End):
        obey(learner, order)


def obey(learner: Learner, order: Order) -> list[StepReport]:
    """Do it; the steps that were made."""
    match order:
        case Learn(samples):
            return [report for sample in samples for report in learner.feed(sample)]
        case LearnTheRest():
            report = learner.flush()
            return [] if report is None else [report]
        case TakeCatalogue(bundle):
            learner.adopt(read_prompt_side(Path(bundle)).catalog)
        case BeginAnew(bundle):
            learner.begin_anew(read_bundle(Path(bundle)))
        case End():
            pass
    return []
