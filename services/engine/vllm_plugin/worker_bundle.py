"""What a worker reads from the bundle beside the weights, which vLLM loads itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.bundle.neighbours import read_neighbours
from model.bundle.prompt_side import CONFIG_FILE, read_prompt_side
from model.bundle.verify import read_json
from model.network.config import RankGRConfig
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours


@dataclass(frozen=True, slots=True)
class WorkerBundle:
    """Configuration, catalogue and neighbours of one version each."""

    config: RankGRConfig
    catalog: Catalog
    neighbours: Neighbours | None = None


def read_worker_bundle(directory: Path) -> WorkerBundle:
    """Read and verify.  Raises BadBundle with one line that says what is wrong."""
    side = read_prompt_side(directory)
    config = RankGRConfig.from_json(read_json(directory, CONFIG_FILE))
    return WorkerBundle(config, side.catalog, read_neighbours(directory, side.manifest, config))
