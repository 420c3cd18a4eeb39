"""The network as decoding sees it, made of vLLM's own modules: no weight exists twice.

Decoding puts its own attention between the halves of a layer; prompts go through vLLM's kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer, Qwen2Model

from model.network.backbone import Rotary, rotate
from model.network.config import RankGRConfig
from model.network.rank_head import RankHead

# Shapes: N tokens, D hidden size, H heads, K key-value heads, E width of a head, V codes of a level.


class VllmLayer:
    """One decoder layer of vLLM's Qwen2 around its attention."""

    def __init__(self, layer: Qwen2DecoderLayer) -> None:
        self._layer = layer

    def before_attention(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q [N, H, E], k and v [N, K, E] of the layer's input [N, D], rotated."""
        attention = self._layer.self_attn
        projected, _ = attention.qkv_proj(self._layer.input_layernorm(x))
        q, k, v = projected.split([attention.q_size, attention.kv_size, attention.kv_size], dim=-1)
        shape = (-1, attention.head_dim)
        return rotate(q.unflatten(-1, shape), angles), rotate(k.unflatten(-1, shape), angles), v.unflatten(-1, shape)

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's output [N, D] from its input and the heads' outputs [N, H, E]."""
        mixed, _ = self._layer.self_attn.o_proj(attended.flatten(-2))
        x = x + mixed
        out: Tensor = x + self._layer.mlp(self._layer.post_attention_layernorm(x))
        return out


class VllmNetwork:
    """See `model.decoding.decodable`."""

    def __init__(self, config: RankGRConfig, backbone: Qwen2Model, rank_head: RankHead) -> None:
        self.config = config
        self.rank_head = rank_head
        self._backbone = backbone
        self._rotary = Rotary(config.head_dim, config.rope_theta)
        self._stack = [VllmLayer(layer) for layer in backbone.layers]

    @property
    def dtype(self) -> torch.dtype:
        """Of all parameters."""
        dtype: torch.dtype = self._backbone.embed_tokens.weight.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Of all parameters."""
        device: torch.device = self._backbone.embed_tokens.weight.device
        return device

    def embed(self, tokens_N: Tensor) -> Tensor:
        """Inputs [N, D] of the first layer."""
        embedded: Tensor = self._backbone.embed_tokens(tokens_N)
        return embedded

    def angles(self, positions_N: Tensor) -> tuple[Tensor, Tensor]:
        """Rotary cosine and sine [N, 1, E]."""
        return self._rotary.angles(positions_N, self.dtype)

    def stack(self) -> list[VllmLayer]:
        """The layers, bottom first."""
        return self._stack

    def final_norm(self, x_ND: Tensor) -> Tensor:
        """States [N, D] from the last layer's output."""
        states: Tensor = self._backbone.norm(x_ND)
        return states

    def code_embeddings(self, level: int) -> Tensor:
        """Embeddings [V, D] of a level's codes (1..M), which are also its output layer."""
        part = self.config.levels[level - 1]
        rows: Tensor = self._backbone.embed_tokens.weight[part.token_offset : part.token_offset + part.size]
        return rows
