"""A small bundle's contents, and ways to damage what was written of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from contracts.manifest import PopularList
from model.bundle.write import BundleContents
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork, network_from
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog

SIZES = (4, 6)
NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)


def prompt_format() -> PromptFormat:
    """Two scenes; prompts of up to 13 items."""
    return PromptFormat.create(SIZES, ("home", "search"), max_tokens=30)


def network(seed: int = 0) -> RankGRNetwork:
    """No weight is 0 or 1, so that one which is not read back is noticed."""
    fmt = prompt_format()
    levels = zip(fmt.level_sizes, fmt.token_offsets, strict=True)
    config = RankGRConfig.create(
        hidden_size=16,
        layers=2,
        heads=2,
        kv_heads=1,
        intermediate_size=24,
        vocab_size=fmt.vocab_size,
        max_position=64,
        levels=[{"size": size, "token_offset": offset} for size, offset in levels],
        special_tokens=fmt.special_tokens,
        prompt=fmt.prompt_section(),
        rank_head={"heads": 2, "dim": 4, "mlp_hidden": 8, "mlp_input": "attn_query"},
        decode={"beams": (4, 10), "lambdas": (4, 6), "iap_mix": 0.5},
    )
    made = network_from(config, seed)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=chance) * 0.2)
    return made


def catalog(popularity: float = 1.0) -> Catalog:
    """Eight items, two of which share an id."""
    codes = [[0, 0], [0, 5], [1, 2], [1, 2], [2, 0], [2, 4], [3, 1], [3, 3]]
    return Catalog(
        item_id=np.array([3, 7, 12, 20, 21, 55, 901, 2**40]),
        codes=np.array(codes, np.int32),
        popularity=np.full(8, popularity, np.float32),
        level_sizes=SIZES,
        title=tuple(f"Thing {number}" for number in range(8)),
    )


def contents(seed: int = 0) -> BundleContents:
    """Everything that a bundle holds."""
    return BundleContents(
        network=network(seed),
        prompt_format=prompt_format(),
        catalog=catalog(),
        popular=PopularList(default=(7, 3, 12), scenes={"home": (12, 7), "search": (3,)}),
        quantiser={"level1": np.arange(8, dtype=np.float32).reshape(4, 2)},
        features={"words.json": b'{"tea": 0}'},
        data={"name": "toy", "users": 5},
        metrics={"click HR@20": 0.25},
        created_at=NOW,
    )


def with_weight(made: BundleContents, name: str, value: float) -> BundleContents:
    """The same, with one value of one tensor replaced."""
    spoilt = network_from(made.network.config, made.network.state_dict())
    with torch.no_grad():
        spoilt.get_parameter(name).view(-1)[0] = value
    return dataclasses.replace(made, network=spoilt)


def change_json(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Edit a JSON object in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_tensors(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Edit a safetensors file in place."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def sign_again(directory: Path, name: str) -> None:
    """Let the manifest agree with a changed file, so that only a closer look finds the damage."""
    digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    content["files"][name] = digest
    path.write_text(json.dumps(content))


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, hidden ones too."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
