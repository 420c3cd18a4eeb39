"""What a new item needs to get its semantic id: the files `features/` and the quantiser, written and read back.

Called by the builder and by whoever adds items to a catalogue; never loads torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from contracts.errors import BadBundle
from model.bundle.verify import first_complaint, read_manifest, verify_files
from model.semantic_id.features import ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.quantiser import Quantiser
from model.semantic_id.quantisers import read_quantiser
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.text_features import FittedTextFeatures
from model.semantic_id.text_neighbours import NEIGHBOURS, TextNeighbours

QUANTISER_FILE = "quantiser.safetensors"
FEATURES_FOLDER = "features"
ARRAYS_FILE = "item_features.safetensors"
DESCRIPTION_FILE = "item_features.json"
_ARRAYS, _DESCRIPTION = f"{FEATURES_FOLDER}/{ARRAYS_FILE}", f"{FEATURES_FOLDER}/{DESCRIPTION_FILE}"
ENCODER_FILES = frozenset({QUANTISER_FILE, _ARRAYS, _DESCRIPTION})


class _Description(BaseModel):
    """item_features.json.  text: how texts are read; "none" where the items had none.

    neighbours: items whose co-occurrence stands in for a new item's; 0 in bundles of earlier releases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Literal["hashed-words-1", "sentences-1", "none"]
    encoder: str = ""
    text_weight: float = Field(ge=0.0, le=1.0)
    text_dims: int = Field(ge=0)
    history_dims: int = Field(ge=0)
    facets: tuple[str, ...] = ()
    neighbours: int = Field(default=0, ge=0)


def feature_files(features: ItemFeatures) -> dict[str, bytes]:
    """Content of the files below `features/`, by name; equal features give equal bytes."""
    text = features.text
    kind: Literal["hashed-words-1", "sentences-1", "none"] = "hashed-words-1" if text else "none"
    if text and text.encoder_fingerprint:
        kind = "sentences-1"
    neighbours = features.neighbours
    description = _Description(
        text=kind,
        encoder=text.encoder_fingerprint if text else "",
        text_weight=features.text_weight,
        text_dims=text.dims if text else 0,
        history_dims=features.history_dims,
        facets=text.facet_names if text else (),
        neighbours=len(neighbours.text) if neighbours else 0,
    )
    arrays = text.to_arrays() if text else {}
    if neighbours and len(neighbours.text):
        arrays |= neighbours.to_arrays()
    return {
        ARRAYS_FILE: save({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
        DESCRIPTION_FILE: description.model_dump_json(indent=2).encode() + b"\n",
    }


def read_new_item_encoder(directory: Path, encoder: SentenceEncoder | None = None) -> NewItemEncoder:
    """Read and verify what turns a new item's text into codes.

    `encoder`: the sentence encoder that the features came from, where they did: it is not part of a bundle.
    Raises BadBundle with one line that says what is wrong, also for a bundle of items without texts.
    """
    verify_files(directory, read_manifest(directory), ENCODER_FILES)
    made = read_encoder_files(directory, encoder)
    if made.features.text is None:
        raise BadBundle(f"{directory} was built from items without texts: a new item's text gives it no semantic id")
    return made


def read_encoder_files(directory: Path, encoder: SentenceEncoder | None = None) -> NewItemEncoder:
    """The same from files whose sums are checked already, items without texts included."""
    try:
        description = _Description.model_validate_json((directory / _DESCRIPTION).read_bytes())
    except ValidationError as error:
        raise BadBundle(f"{directory}: {_DESCRIPTION}: {first_complaint(error)}") from error
    arrays = _arrays(directory, _ARRAYS) if description.text != "none" else {}
    kept = {name: arrays.pop(name) for name in NEIGHBOURS if description.neighbours and name in arrays}
    text: FittedTextFeatures | None = None
    if description.text != "none":
        text = FittedTextFeatures.from_arrays(arrays, description.facets, description.encoder, encoder)
    text_dims, history_dims = text.dims if text else 0, description.history_dims
    quantiser = read_quantiser_file(directory)
    if text_dims != description.text_dims or text_dims + history_dims != quantiser.dims:
        raise BadBundle(
            f"{directory}: {text_dims + history_dims} item features ({text_dims} of the text) fit neither "
            f"the {description.text_dims} described nor the quantiser's {quantiser.dims}"
        )
    neighbours = TextNeighbours.from_arrays(kept, text_dims, history_dims) if description.neighbours else None
    features = ItemFeatures(text, description.text_weight, history_dims, neighbours)
    return NewItemEncoder(features, quantiser)


def read_quantiser_file(directory: Path) -> Quantiser:
    """The quantiser alone, of a directory whose sums are checked already.  Raises BadBundle."""
    return read_quantiser(_arrays(directory, QUANTISER_FILE))


def _arrays(directory: Path, name: str) -> dict[str, npt.NDArray[np.generic]]:
    try:
        return load_file(directory / name)
    except (OSError, SafetensorError) as error:
        raise BadBundle(f"{directory}: {name} is no safetensors file: {error}") from error
