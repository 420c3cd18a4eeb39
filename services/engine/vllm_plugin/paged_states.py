"""The rank head's keys of every position, kept in vLLM's paged cache beside the backbone's.

A token found in the prefix cache is not computed again, so what RSP needs of it must lie where its keys lie.
To vLLM these are a few more layers like the backbone's own; no attention ever runs over them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase

from model.network.rank_head import Keys, RankHead

# Shapes: N tokens of a step, T tokens of a prompt, W numbers kept per token, D hidden size,
# R heads of the rank head, E width of each.


class PagedLayer(nn.Module, AttentionLayerBase):
    """One layer of the paged cache, as wide as the backbone's, holding `width` plain numbers per token."""

    def __init__(self, like: Attention, vllm_config: VllmConfig, name: str) -> None:
        super().__init__()
        self.layer_name = name
        # vLLM asks its layers for these when it plans the backbone's attention.
        self.num_heads, self.num_kv_heads, self.head_size = like.num_heads, like.num_kv_heads, like.head_size
        self.width = 2 * like.num_kv_heads * like.head_size
        self.kv_cache = torch.tensor([])
        # A tuple: the model holds this layer, not the other way round.
        self.model: tuple[nn.Module, ...] = ()
        # Bound methods, not the layer: as a submodule it would be in the state dict twice.
        self._spec: Callable[[VllmConfig], object] = like.get_kv_cache_spec
        self._backend: Callable[[], object] = like.get_attn_backend
        layers = vllm_config.compilation_config.static_forward_context
        if name in layers:
            raise RuntimeError(f"vLLM has a layer {name} already")
        layers[name] = self

    def get_kv_cache_spec(self, vllm_config: VllmConfig) -> object:
        """The backbone's, so that all layers share one group and one block table."""
        return self._spec(vllm_config)

    def get_attn_backend(self) -> object:
        """The backbone's: whose metadata carries the block table."""
        return self._backend()

    def slots(self) -> Tensor:
        """[blocks, tokens of a block, width]: our own layout of a block's memory, which nobody else reads."""
        blocks, heads, tokens, content = self.kv_cache.shape
        numbers = heads * tokens * content
        inside = zip(self.kv_cache.shape[1:], self.kv_cache.stride()[1:], strict=True)
        reach = sum((size - 1) * step for size, step in inside)
        if numbers != tokens * self.width or reach != numbers - 1:
            raise RuntimeError(f"a block of vLLM's cache is not one piece: {self.kv_cache.shape}")
        return self.kv_cache.as_strided(
            (blocks, tokens, self.width), (self.kv_cache.stride(0), self.width, 1), self.kv_cache.storage_offset()
        )


class PagedRankKeys(nn.Module):
    """Projected keys and values of the rank head (the states themselves for a `literal` one) per position."""

    def __init__(self, head: RankHead, like: Attention, vllm_config: VllmConfig, first_index: int) -> None:
        super().__init__()
        # A tuple hides the head from the state dict, where it has a place of its own.
        self._head = (head,)
        self.literal = head.k_proj is None
        self.width = head.heads * head.dim * (1 if self.literal else 2)
        each = 2 * like.num_kv_heads * like.head_size
        # vLLM reads a layer's place out of its name, which must hold exactly one number.
        names = [f"rank_keys.{first_index + place}" for place in range(-(-self.width // each))]
        self.layers = nn.ModuleList(PagedLayer(like, vllm_config, name) for name in names)

    def write(self, state_ND: Tensor) -> None:
        """Keep what RSP needs of this step's tokens, final states [N, D]."""
        slot_mapping = get_forward_context().slot_mapping
        first = self._stack()[0].layer_name
        slot_N = slot_mapping.get(first) if isinstance(slot_mapping, dict) else None
        if slot_N is None:
            # Profiling and warm-up run without a cache.
            return
        # Padded tokens have slot -1: they go to block 0, which vLLM gives to nobody.
        slot_N = slot_N[: len(state_ND)].clamp_min(0)
        keys = self._head[0].project(state_ND)
        flat = keys.key.flatten(1) if self.literal else torch.cat((keys.key.flatten(1), keys.value.flatten(1)), 1)
        start = 0
        for layer in self._stack():
            part = flat[:, start : start + layer.width]
            slots = layer.slots()
            block_N, place_N = slot_N // slots.shape[1], slot_N % slots.shape[1]
            slots[block_N, place_N, : part.shape[1]] = part
            start += layer.width

    def read(self, blocks: Tensor, length: int) -> Keys:
        """Keys and values [T, R, E] of a prompt's positions; `blocks` int64, in the prompt's order."""
        return self._keys([layer.slots().index_select(0, blocks).flatten(0, 1)[:length] for layer in self._stack()])

    def read_at(self, block_N: Tensor, place_N: Tensor) -> Keys:
        """Keys and values [N, R, E] of single positions: place int64 [N] inside block int64 [N]."""
        return self._keys([layer.slots()[block_N, place_N] for layer in self._stack()])

    def _keys(self, parts: list[Tensor]) -> Keys:
        flat = (parts[0] if len(parts) == 1 else torch.cat(parts, 1))[:, : self.width]
        head = self._head[0]
        if self.literal:
            states = flat.view(len(flat), head.heads, head.dim)
            return Keys(states, states)
        key, value = flat.view(len(flat), 2, head.heads, head.dim).unbind(1)
        return Keys(key, value)

    @property
    def names(self) -> list[str]:
        """vLLM's names of the layers."""
        return [layer.layer_name for layer in self._stack()]

    def belongs_to(self, model: nn.Module) -> None:
        """Let whoever finds a layer by its name in vLLM's configuration find the model behind it."""
        for layer in self._stack():
            layer.model = (model,)

    def _stack(self) -> list[PagedLayer]:
        return [layer for layer in self.layers if isinstance(layer, PagedLayer)]
