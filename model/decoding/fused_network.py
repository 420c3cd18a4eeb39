"""The network as decoding runs it: weights that read the same input lie in one matrix, one product instead of three.

The torch host's decoder makes it from a `RankGRNetwork`; same numbers, copies of the layers' matrices.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from model.network.backbone import Layer, Rotary, rotate
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.network.rank_head import RankHead

# Shapes: N tokens, D hidden size, H heads, K key-value heads, E width of a head, V codes of a level.

Angles = tuple[Tensor, Tensor]


class FusedLayer:
    """One decoder layer around its attention; see `LayerSteps`."""

    def __init__(self, layer: Layer, config: RankGRConfig) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._qkv = torch.cat((attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)).detach()
        self._qkv_bias = torch.cat((attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias)).detach()
        self._gate_up = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).detach()
        self._out, self._down = attention.o_proj, mlp.down_proj
        self._norm, self._mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads

    def before_attention(self, x: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """q [N, H, E], k and v [N, K, E] of the layer's input [N, D], rotated."""
        heads = self._heads + 2 * self._kv_heads
        qkv = functional.linear(self._norm(x), self._qkv, self._qkv_bias).view(*x.shape[:-1], heads, -1)
        turned = rotate(qkv[..., : self._heads + self._kv_heads, :], angles)
        return turned[..., : self._heads, :], turned[..., self._heads :, :], qkv[..., -self._kv_heads :, :]

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's output [N, D] from its input and the heads' outputs [N, H, E]."""
        x = x + self._out(attended.flatten(-2))
        gate, up = functional.linear(self._mlp_norm(x), self._gate_up).chunk(2, -1)
        out: Tensor = x + self._down(functional.silu(gate) * up)
        return out


class CompiledLayer:
    """A layer whose two halves went through torch.compile, once for all numbers of tokens."""

    def __init__(self, layer: FusedLayer, backend: str) -> None:
        self.before_attention: Callable[[Tensor, Angles], tuple[Tensor, Tensor, Tensor]] = torch.compile(
            layer.before_attention, dynamic=True, fullgraph=True, backend=backend
        )
        self.after_attention: Callable[[Tensor, Tensor], Tensor] = torch.compile(
            layer.after_attention, dynamic=True, fullgraph=True, backend=backend
        )


class FusedNetwork:
    """See `Decodable`.  The network's weights must not change afterwards.

    backend: torch.compile's, to fuse what lies between the matrix products too; "inductor" needs a compiler at run
    time (Triton on CUDA, C++ on a CPU) and takes its time at the first call.  None: as it is.
    """

    def __init__(self, network: RankGRNetwork, *, backend: str | None = None) -> None:
        self.config: RankGRConfig = network.config
        self.rank_head: RankHead = network.rank_head
        self.dtype, self.device = network.dtype, network.device
        self._embedding = network.model.embed_tokens.weight.detach()
        self._norm = network.model.norm
        self._rotary: Rotary = network.model.rotary
        layers = [FusedLayer(layer, network.config) for layer in network.stack()]
        self._layers: list[FusedLayer | CompiledLayer] = [
            layer if backend is None else CompiledLayer(layer, backend) for layer in layers
        ]

    def embed(self, tokens_N: Tensor) -> Tensor:
        """Inputs [N, D] of the first layer."""
        return functional.embedding(tokens_N, self._embedding)

    def angles(self, positions_N: Tensor) -> Angles:
        """Rotary cosine and sine [N, 1, E]."""
        return self._rotary.angles(positions_N, self.dtype)

    def stack(self) -> list[FusedLayer | CompiledLayer]:
        """The layers, bottom first."""
        return self._layers

    def final_norm(self, x_ND: Tensor) -> Tensor:
        """States [N, D] from the last layer's output."""
        states: Tensor = self._norm(x_ND)
        return states

    def code_embeddings(self, level: int) -> Tensor:
        """Embeddings [V, D] of a level's codes (1..M), which are also its output layer."""
        part = self.config.levels[level - 1]
        return self._embedding[part.token_offset : part.token_offset + part.size]
