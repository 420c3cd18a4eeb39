"""Qwen2 in plain torch, with Hugging Face's parameter names, so that either side loads the other's weights.

Layers are split at the attention: training runs them whole, decoding puts its own attention in between.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.attention import wide_dtype
from model.network.config import RankGRConfig
from model.network.dropout import dropout

KeptKeys = list[tuple[Tensor, Tensor]]

# Shapes: B rows, S tokens, X further ones, D hidden size, H heads, K key-value heads, E width of a head;
# .. any leading axes.


class RMSNorm(nn.Module):
    """x / rms(x) * weight; half types are normalised in float32, float64 stays float64."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(wide_dtype(x.dtype))
        normal = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * normal.to(x.dtype)


class Rotary:
    """Cosine and sine [.., 1, E] of positions [..], computed in float32, or float64 for a float64 model."""

    def __init__(self, head_dim: int, theta: float) -> None:
        self.head_dim = head_dim
        self.theta = theta

    def angles(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """One pair for a whole pass; the axis of size 1 stands for the heads."""
        wide = wide_dtype(dtype)
        even = torch.arange(0, self.head_dim, 2, device=positions.device).to(wide)
        # The reciprocal first, as transformers and vLLM do: rounded otherwise, angles far from 0 differ by 1e-5.
        speed = 1.0 / self.theta ** (even / self.head_dim)
        turn = positions.to(wide).unsqueeze(-1) * speed
        angle = torch.cat((turn, turn), -1).unsqueeze(-2)
        return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the halves of each head [.., H, E] against each other."""
    cos, sin = angles
    front, back = x.chunk(2, -1)
    return x * cos + torch.cat((-back, front), -1) * sin


class SelfAttention(nn.Module):
    """The four projections; the attention itself is the caller's."""

    def __init__(self, config: RankGRConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        wide, narrow = (
            config.num_attention_heads * config.head_dim,
            config.num_key_value_heads * config.head_dim,
        )
        self.q_proj = nn.Linear(config.hidden_size, wide)
        self.k_proj = nn.Linear(config.hidden_size, narrow)
        self.v_proj = nn.Linear(config.hidden_size, narrow)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias=False)

    @torch.no_grad()
    def begin_copying(self, share: float) -> None:
        """Add so much of the identity to values and outputs: what the value heads hold of a state passes through."""
        values = self.v_proj.out_features
        groups = self.o_proj.in_features // values
        dims = min(values, self.o_proj.out_features)
        self.v_proj.weight.diagonal()[:dims].add_(share)
        # Query heads that share a value head see the same: each passes on its part of it.
        by_head = self.o_proj.weight.view(self.o_proj.out_features, -1, groups, self.head_dim)
        for dim in range(dims):
            by_head[dim, dim // self.head_dim, :, dim % self.head_dim] += share / groups

    @torch.no_grad()
    def begin_recent(self, nats: float) -> None:
        """Give a token so many nats more in its own attention than one a rotation's whole period away.

        Queries and keys get one equal constant in the front half of every head's dims: rotated, their product depends
        on the distance alone, and falls with it, dim by dim at that dim's own speed.
        """
        front = self.head_dim // 2
        constant = math.sqrt(nats * math.sqrt(self.head_dim) / front)
        for projection in (self.q_proj, self.k_proj):
            projection.bias.view(-1, self.head_dim)[:, :front] = constant

    def project(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q [.., H, E], k and v [.., K, E] of x [.., D], rotated."""
        # One product instead of three: putting the weights side by side costs nothing beside it.
        parts = (self.q_proj, self.k_proj, self.v_proj)
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        flat = functional.linear(x, weight, bias)
        all_heads = flat.view(*flat.shape[:-1], -1, self.head_dim)
        queries = self.q_proj.out_features // self.head_dim
        values = queries + self.k_proj.out_features // self.head_dim
        # Query and key heads turn by the same angles, together.
        turned = rotate(all_heads[..., :values, :], angles)
        return turned[..., :queries, :], turned[..., queries:, :], all_heads[..., values:, :]


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: RankGRConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = functional.linear(x, torch.cat([self.gate_proj.weight, self.up_proj.weight]))
        gate, up = both.chunk(2, -1)
        out: Tensor = self.down_proj(functional.silu(gate) * up)
        return out


class Layer(nn.Module):
    """One decoder layer, in two halves around the attention."""

    def __init__(self, config: RankGRConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.mlp = GatedMLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.dropout = 0.0

    def before_attention(self, x: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q [.., H, E], k and v [.., K, E] of the layer's input [.., D]."""
        return self.self_attn.project(self.input_layernorm(x), angles)

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The layer's output [.., D] from its input and the heads' outputs [.., H, E]."""
        x = x + self.dropped(self.self_attn.o_proj(attended.flatten(-2)))
        out: Tensor = x + self.dropped(self.mlp(self.post_attention_layernorm(x)))
        return out

    def dropped(self, x: Tensor) -> Tensor:
        """x with a share of its values left out while training, where training asks for it."""
        return dropout(x, self.dropout) if self.dropout and self.training else x


class Backbone(nn.Module):
    """Embedding, layers, final norm.  Positions are the caller's, so parallel targets may restart theirs."""

    def __init__(self, config: RankGRConfig) -> None:
        super().__init__()
        # Zeros, not nn.Embedding's own draw: weights come from a seed or a bundle, and drawing on the meta device (how
        # a bundle's shapes are checked) imports torch's compiler, seconds of every start.
        zeros = torch.zeros(config.vocab_size, config.hidden_size)
        self.embed_tokens: nn.Embedding = nn.Embedding.from_pretrained(zeros, freeze=False)  # type: ignore[no-untyped-call]
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary = Rotary(config.head_dim, config.rope_theta)
        self.groups = config.num_attention_heads // config.num_key_value_heads
        self.dropout = 0.0

    def drop(self, share: float) -> None:
        """Leave out so large a share of embeddings and of what layers add, while in training mode."""
        self.dropout = share
        for layer in self.stack():
            layer.dropout = share

    def stack(self) -> list[Layer]:
        """The layers, bottom first."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, tokens_BS: Tensor, positions_BS: Tensor, mask: Tensor | None = None) -> Tensor:
        """States [B, S, D] after the final norm.

        mask bool [B, 1, S, S], True = may attend; None means causal.
        """
        return self.run(tokens_BS, positions_BS, mask)[0]

    def run(self, tokens_BS: Tensor, positions_BS: Tensor, mask: Tensor | None = None) -> tuple[Tensor, KeptKeys]:
        """`forward`, and every layer's keys and values [B, S, K, E], for tokens that are fed later."""
        x_BSD = self._embedded(tokens_BS)
        angles = self.rotary.angles(positions_BS, x_BSD.dtype)
        kept: KeptKeys = []
        for layer in self.stack():
            q, k, v = layer.before_attention(x_BSD, angles)
            kept.append((k, v))
            x_BSD = layer.after_attention(x_BSD, self.full_attention(q, k, v, mask))
        return self.norm(x_BSD), kept

    def extend(self, tokens_BX: Tensor, positions_BX: Tensor, mask_BXS: Tensor, kept: KeptKeys) -> Tensor:
        """States [B, X, D] of further tokens, each of which sees the tokens its mask says, and itself.

        mask_BXS bool over the tokens of the pass that `kept` comes from; further tokens never see each other.
        """
        x_BXD = self._embedded(tokens_BX)
        angles = self.rotary.angles(positions_BX, x_BXD.dtype)
        itself_XX = torch.eye(tokens_BX.shape[1], dtype=torch.bool, device=tokens_BX.device)
        mask = torch.cat([mask_BXS, itself_XX.expand(len(tokens_BX), -1, -1)], -1)[:, None]
        for layer, (key_BSKE, value_BSKE) in zip(self.stack(), kept, strict=True):
            q, k, v = layer.before_attention(x_BXD, angles)
            keys, values = torch.cat([key_BSKE, k], 1), torch.cat([value_BSKE, v], 1)
            x_BXD = layer.after_attention(x_BXD, self.full_attention(q, keys, values, mask))
        out: Tensor = self.norm(x_BXD)
        return out

    def _embedded(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embed_tokens(tokens)
        return dropout(x, self.dropout) if self.dropout and self.training else x

    def full_attention(self, q_BSHE: Tensor, k_BSKE: Tensor, v_BSKE: Tensor, mask: Tensor | None) -> Tensor:
        """Heads' outputs [B, S, H, E] of every token over the whole row."""
        k_BSHE = k_BSKE.repeat_interleave(self.groups, 2) if self.groups > 1 else k_BSKE
        v_BSHE = v_BSKE.repeat_interleave(self.groups, 2) if self.groups > 1 else v_BSKE
        out_BHSE = functional.scaled_dot_product_attention(
            q_BSHE.transpose(1, 2),
            k_BSHE.transpose(1, 2),
            v_BSHE.transpose(1, 2),
            attn_mask=mask,
            is_causal=mask is None,
        )
        return out_BHSE.transpose(1, 2)
