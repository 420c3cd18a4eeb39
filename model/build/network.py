"""The network that a preset asks for, on a prompt format."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.build.presets import Preset
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat

# Root mean square of a code's seeded embedding: a few times that of a drawn one, so that the seed is not lost.
CODE_SCALE = 0.1


def network_config(preset: Preset, fmt: PromptFormat) -> RankGRConfig:
    """The network of a preset for a prompt format."""
    levels = zip(fmt.level_sizes, fmt.token_offsets, strict=True)
    return RankGRConfig.create(
        hidden_size=preset.hidden_size,
        layers=preset.layers,
        heads=preset.heads,
        kv_heads=preset.kv_heads,
        intermediate_size=preset.intermediate_size,
        vocab_size=fmt.vocab_size,
        max_position=2 * preset.max_tokens,
        levels=[{"size": size, "token_offset": offset} for size, offset in levels],
        special_tokens=fmt.special_tokens,
        prompt=fmt.prompt_section(),
        rank_head={
            "mode": "mha",
            "heads": preset.rank_heads,
            "dim": preset.rank_dim,
            "mlp_hidden": preset.rank_mlp,
            "mlp_input": preset.rank_mlp_input,
            "keys": "items",
        },
        decode={
            "beams": preset.beams,
            "lambdas": preset.lambdas,
            "iap_mix": preset.iap_mix,
            "max_items_per_sid": preset.max_items_per_sid,
        },
    )


def seed_code_embeddings(network: RankGRNetwork, codebooks: Sequence[NDArray[np.float32]]) -> None:
    """Begin every code's embedding at its code vector, scaled like the drawn ones it replaces.

    Codes of like items then start out alike, which saves a short training the epochs it takes to find that out.
    Code vectors [V, Z] with more dimensions than the network is wide are cut to their strongest directions.
    """
    width = network.config.hidden_size
    with torch.no_grad():
        for level, codebook_VZ in enumerate(codebooks, start=1):
            rows_VZ = torch.from_numpy(codebook_VZ) - torch.from_numpy(codebook_VZ).mean(0)
            if rows_VZ.shape[1] > width:
                rows_VZ = rows_VZ @ torch.linalg.svd(rows_VZ, full_matrices=False).Vh[:width].T
            embedding_VD = network.code_embeddings(level)
            scale = CODE_SCALE / rows_VZ.square().mean().sqrt().clamp(min=1e-6)
            embedding_VD[:, : rows_VZ.shape[1]] += scale * rows_VZ
