"""The network that a recipe asks for, on a prompt format."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from contracts.errors import BadConfig
from model.build.recipe import NetworkConfig, Recipe
from model.network.config import RankGRConfig
from model.network.network import CODE_RMS, RankGRNetwork
from model.prompt import PromptFormat


def network_config(recipe: Recipe, fmt: PromptFormat) -> RankGRConfig:
    """The network of a recipe for a prompt format.  Raises BadConfig where its parts do not fit together."""
    network = recipe.network
    levels = zip(fmt.level_sizes, fmt.token_offsets, strict=True)
    try:
        return RankGRConfig.create(
            hidden_size=network.hidden_size,
            layers=network.layers,
            heads=network.heads,
            kv_heads=network.kv_heads,
            intermediate_size=network.intermediate_size,
            vocab_size=fmt.vocab_size,
            max_position=2 * recipe.prompt.max_tokens,
            levels=[{"size": size, "token_offset": offset} for size, offset in levels],
            special_tokens=fmt.special_tokens,
            prompt=fmt.prompt_section(),
            rank_head=rank_head_shape(network, network.hidden_size),
            decode=decode_defaults(recipe),
        )
    except ValidationError as error:
        raise BadConfig(f"network: {error.errors(include_url=False)[0]['msg']}") from error


def rank_head_shape(network: NetworkConfig, hidden_size: int) -> dict[str, object]:
    """The key `rank_head` of config.json."""
    literal = network.rank_mode == "literal"
    return {
        "mode": network.rank_mode,
        "heads": 1 if literal else network.rank_heads,
        "dim": hidden_size if literal else network.rank_dim,
        "mlp_hidden": network.rank_mlp,
        "mlp_input": network.rank_mlp_input,
        "keys": "items",
    }


def decode_defaults(recipe: Recipe) -> dict[str, object]:
    """The key `decode` of config.json."""
    decoding = recipe.decoding
    return {
        "beams": decoding.beams,
        "lambdas": decoding.lambdas,
        "lambda_scope": decoding.lambda_scope,
        "iap_mix": decoding.iap_mix,
        "max_items_per_sid": recipe.semantic_ids.max_items_per_sid,
    }


def seed_code_embeddings(network: RankGRNetwork, codebooks: Sequence[NDArray[np.float32]]) -> None:
    """Begin every code's embedding at its code vector, scaled like the drawn ones it replaces.

    Codes of like items then start out alike, which saves a short training the epochs it takes to find that out.
    A level whose code vectors are all the same, as ranks by popularity are, keeps the drawn ones at that scale.
    Code vectors [V, Z] with more dimensions than the network is wide are cut to their strongest directions.
    """
    width = network.config.hidden_size
    with torch.no_grad():
        for level, codebook_VZ in enumerate(codebooks, start=1):
            rows_VZ = torch.from_numpy(codebook_VZ) - torch.from_numpy(codebook_VZ).mean(0)
            if rows_VZ.shape[1] > width:
                rows_VZ = rows_VZ @ torch.linalg.svd(rows_VZ, full_matrices=False).Vh[:width].T
            embedding_VD = network.code_embeddings(level)
            if not rows_VZ.any():
                rows_VZ = embedding_VD.clone()
            scale = CODE_RMS / rows_VZ.square().mean().sqrt().clamp(min=1e-6)
            embedding_VD[:, : rows_VZ.shape[1]] += scale * rows_VZ
