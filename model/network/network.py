"""The whole network: backbone and rank head under one state dict, the output layer tied to the embedding.

Training and decoding use it; it decides nothing about what is fed or kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.backbone import Backbone, Layer, RMSNorm
from model.network.config import RankGRConfig
from model.network.rank_head import RankHead

# Root mean square of a code's seeded embedding: a few times that of a drawn one, so that the seed is not lost.
CODE_RMS = 0.1
# Of the identity, in values and in outputs: a quarter of the normalised state that is seen gets through.
COPIED = 0.5
# What a token's own place adds to its attention: e^5.5 is as much as 245 far tokens weigh together.
RECENCY_NATS = 5.5

# Shapes: B rows, S tokens, D hidden size, V_l codes of a level; .. any leading axes.


class RankGRNetwork(nn.Module):
    """State dict: `model.*` as in Hugging Face's Qwen2ForCausalLM (tied), `rank_head.*` beside it."""

    def __init__(self, config: RankGRConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.rank_head = RankHead(config.rank_head, config.hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """Of all parameters."""
        return self.model.embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        """Of all parameters."""
        return self.model.embed_tokens.weight.device

    def forward(self, tokens_BS: Tensor, positions_BS: Tensor, mask: Tensor | None = None) -> Tensor:
        """States [B, S, D] after the final norm; mask bool [B, 1, S, S], True = may attend, None = causal."""
        states: Tensor = self.model(tokens_BS, positions_BS, mask)
        return states

    def embed(self, tokens: Tensor) -> Tensor:
        """Inputs [.., D] of the first layer."""
        x: Tensor = self.model.embed_tokens(tokens)
        return x

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary cosine and sine [.., 1, E] of positions [..]."""
        return self.model.rotary.angles(positions, self.dtype)

    def stack(self) -> list[Layer]:
        """The layers, bottom first."""
        return self.model.stack()

    def final_norm(self, x: Tensor) -> Tensor:
        """States [.., D] from the last layer's output."""
        states: Tensor = self.model.norm(x)
        return states

    def level_logits(self, states: Tensor, level: int) -> Tensor:
        """Logits [.., V_level] over the codes of a level (1..M) from states [.., D]."""
        return functional.linear(states, self.code_embeddings(level))

    def code_embeddings(self, level: int) -> Tensor:
        """Embeddings [V_level, D] of a level's codes (1..M): a view of the tied embedding."""
        part = self.config.levels[level - 1]
        return self.model.embed_tokens.weight[part.token_offset : part.token_offset + part.size]

    def initialise(self, seed: int, prior: float | None = None) -> None:
        """Draw all weights anew: normal(0, initializer_range), norms 1, biases 0 but those of queries and keys.

        Attention begins as a mean of what it sees: values and outputs also carry `COPIED` of the identity, so that a
        state already leans towards the embeddings of what stands before it, and hence towards codes like those.
        A model this small finds out what to copy long before it would find out how to.
        The mean leans towards what came last (`RECENCY_NATS`): how fast weight falls with distance, training decides.
        The rank head is drawn at 1 / sqrt(inputs): it has no residual path around it, and four matrices of
        small weights in a row would leave it without a gradient for most of a short training.
        `prior`, the expected share of positives among the rank head's candidates, becomes its last bias.
        The same seed gives the same float32 weights on every device type.
        """
        chance = torch.Generator().manual_seed(seed)
        head = set(self.rank_head.modules())
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, RMSNorm):
                    module.weight.fill_(1.0)
                elif isinstance(module, nn.Linear | nn.Embedding):
                    inside_head = module in head
                    std = module.weight.shape[1] ** -0.5 if inside_head else self.config.initializer_range
                    drawn = torch.randn(module.weight.shape, generator=chance) * std
                    module.weight.copy_(drawn)
                    if isinstance(module, nn.Linear) and module.bias is not None:
                        module.bias.zero_()
            for layer in self.stack():
                layer.self_attn.begin_copying(COPIED)
                layer.self_attn.begin_recent(RECENCY_NATS)
            self.rank_head.begin_as_similarity(CODE_RMS)
            if prior is not None:
                self.rank_head.fc2.bias.fill_(math.log(prior) - math.log1p(-prior))


def network_from(config: RankGRConfig, weights: int | Mapping[str, Tensor]) -> RankGRNetwork:
    """A network in evaluation mode, drawn from a seed or holding a state dict (strict names)."""
    network = RankGRNetwork(config)
    if isinstance(weights, int):
        network.initialise(weights)
    else:
        network.load_state_dict(dict(weights))
    return network.eval()
