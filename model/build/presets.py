"""Named recipes: how large a model, how long a training."""

from __future__ import annotations

from model.build.recipe import (
    DecodingConfig,
    EvaluationConfig,
    NetworkConfig,
    PromptConfig,
    Recipe,
    SemanticIdConfig,
)
from model.training.config import LossConfig, OptimiserConfig

PRESETS: dict[str, Recipe] = {
    # Two CPU cores: about a minute of training.  What it does not say is every recipe's default.
    "tiny": Recipe(
        network=NetworkConfig(kv_heads=2, rank_heads=4, rank_dim=16, rank_mlp=128),
        losses=LossConfig(gamma=0.3, history=0.3),
        optimiser=OptimiserConfig(tokens=1_200_000, learning_rate=4e-3),
    ),
    # For tests and smoke runs: seconds, and a model that has hardly learnt anything.
    "micro": Recipe(
        semantic_ids=SemanticIdConfig(feature_dims=16),
        # One head of 32: vLLM's attention takes no narrower ones.
        network=NetworkConfig(
            hidden_size=32, layers=1, heads=1, kv_heads=1, intermediate_size=64, rank_dim=16, rank_mlp=32
        ),
        prompt=PromptConfig(max_tokens=64),
        optimiser=OptimiserConfig(tokens=6_000, batch_tokens=512),
        decoding=DecodingConfig(beams=(20, 200), lambdas=(40, 40)),
        evaluation=EvaluationConfig(users=20),
    ),
}
