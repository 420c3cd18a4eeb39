"""What a bundle's weights were taught, `training.json` in it: whoever goes on learning goes on with the same.

`model/build` writes it; the trainer and `rankgr train --stream-from` read it.  Serving never does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from contracts.errors import BadBundle
from contracts.manifest import TRAINING_FILE
from model.bundle.verify import first_complaint, read_manifest
from model.training.config import STRICT, LossConfig, SampleConfig

# Of the rate at its height: where a cosine stands in its middle.  Wider networks are trained at lower rates, and one
# number for all would be too high for some (docs/freshness-drift.md has other rates on a narrow one).
GOING_ON = 0.5


@dataclass(frozen=True, slots=True, config=STRICT)
class Taught:
    """The sections `losses` and `samples` of the recipe, every key of them, and its learning rate at its height.

    embedding_rate: at so many times the rate the embeddings learn, on a stream as before.
    """

    losses: LossConfig
    samples: SampleConfig
    learning_rate: PositiveFloat
    embedding_rate: PositiveFloat = 1.0
    format: Literal[1] = 1

    @property
    def rate(self) -> float:
        """At which learning goes on from a stream, unless another one is asked for."""
        return GOING_ON * self.learning_rate

    def to_json(self) -> dict[str, object]:
        """As the bundle's file holds it."""
        content: dict[str, object] = _ADAPTER.dump_python(self, mode="json")
        return content

    @classmethod
    def of(cls, directory: Path) -> Taught | None:
        """What the bundle in this directory says, unverified; None where it is of a release that did not say.

        Raises BadBundle with one line: also for a key that nobody here knows, since to learn on without it would be
        to learn something else.
        """
        if TRAINING_FILE not in read_manifest(directory).files:
            return None
        path = directory / TRAINING_FILE
        try:
            return _ADAPTER.validate_json(path.read_bytes())
        except OSError as error:
            raise BadBundle(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise BadBundle(f"{path} is not one that this version reads: {first_complaint(error)}") from error


_ADAPTER: TypeAdapter[Taught] = TypeAdapter(Taught)
