"""Read a whole bundle for the engine, the trainer and the command line: every file, shape and number checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from contracts.errors import BadBundle
from contracts.manifest import POPULAR_FILE, Manifest, PopularList
from model.bundle.neighbours import read_neighbours
from model.bundle.prompt_side import CONFIG_FILE, read_prompt_side
from model.bundle.verify import read_json
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Weights, catalogue and their configuration, of one version each, never mixed."""

    path: Path
    manifest: Manifest
    config: RankGRConfig
    prompt_format: PromptFormat
    catalog: Catalog
    popular: PopularList
    weights: dict[str, Tensor]
    neighbours: Neighbours | None = None
    """What orders lists beside the weights, where the configuration wants that."""

    def network(self) -> RankGRNetwork:
        """A fresh network with these weights, in evaluation mode."""
        network = RankGRNetwork(self.config)
        network.load_state_dict(self.weights)
        return network.eval()


def read_bundle(directory: Path) -> Bundle:
    """Read and verify.  Raises BadBundle with one line that says what is wrong."""
    side = read_prompt_side(directory)
    for name in (WEIGHTS_FILE, POPULAR_FILE):
        if name not in side.manifest.files:
            raise BadBundle(f"{directory}: the manifest lists no {name}")
    config = RankGRConfig.from_json(read_json(directory, CONFIG_FILE))
    try:
        weights = load_file(directory / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise BadBundle(f"{directory}: {WEIGHTS_FILE} is no safetensors file: {error}") from error
    _check_weights(directory, config, weights)
    neighbours = read_neighbours(directory, side.manifest, config)
    popular = read_popular(directory)
    return Bundle(directory, side.manifest, config, side.prompt_format, side.catalog, popular, weights, neighbours)


def read_popular(directory: Path) -> PopularList:
    """The fallback lists alone, unverified.  Raises BadBundle."""
    try:
        return PopularList.model_validate(read_json(directory, POPULAR_FILE))
    except ValidationError as error:
        raise BadBundle(f"{directory}: {POPULAR_FILE}: {error.errors()[0]['msg']}") from error


def _check_weights(directory: Path, config: RankGRConfig, weights: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in RankGRNetwork(config).state_dict().items()}
    if missing := sorted(set(wanted) - set(weights)):
        raise BadBundle(f"{directory}: {WEIGHTS_FILE} lacks {_some(missing)}")
    if foreign := sorted(set(weights) - set(wanted)):
        raise BadBundle(f"{directory}: {WEIGHTS_FILE} holds unknown {_some(foreign)}")
    for name, shape in wanted.items():
        found = tuple(weights[name].shape)
        if found != shape:
            raise BadBundle(f"{directory}: {name} has shape {list(found)}, the configuration wants {list(shape)}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise BadBundle(f"{directory}: {name} holds values that are not finite")


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
