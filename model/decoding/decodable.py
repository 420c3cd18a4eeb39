"""What decoding needs of a network, wherever it lives: `RankGRNetwork` has it, and so has vLLM's in its worker.

Layers come in two halves, for decoding puts its own attention in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from model.network.config import RankGRConfig
from model.network.rank_head import RankHead

# Shapes: N tokens, D hidden size, H heads, K key-value heads, E width of a head, V codes of a level.


class LayerSteps(Protocol):
    """One decoder layer around its attention."""

    def before_attention(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q [N, H, E], k and v [N, K, E] of the layer's input [N, D], rotated."""
        ...

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's output [N, D] from its input and the heads' outputs [N, H, E]."""
        ...


class Decodable(Protocol):
    """A Qwen2 backbone with a rank head; its weights do not change while a decoder lives."""

    @property
    def config(self) -> RankGRConfig:
        """Levels, rank head, default widths."""
        ...

    @property
    def rank_head(self) -> RankHead:
        """Holds the weights of RSP."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of all parameters."""
        ...

    @property
    def device(self) -> torch.device:
        """Of all parameters."""
        ...

    def embed(self, tokens_N: Tensor) -> Tensor:
        """Inputs [N, D] of the first layer."""
        ...

    def angles(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary cosine and sine [N, 1, E] in the network's dtype."""
        ...

    def stack(self) -> Sequence[LayerSteps]:
        """The layers, bottom first."""
        ...

    def final_norm(self, x_ND: Tensor) -> Tensor:
        """States [N, D] from the last layer's output."""
        ...

    def code_embeddings(self, level: int) -> Tensor:
        """Embeddings [V, D] of a level's codes (1..M), which are also its output layer."""
        ...
