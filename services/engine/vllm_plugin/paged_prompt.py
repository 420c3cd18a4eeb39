"""A finished prompt in vLLM's paged cache, as the decoding stages want it (`model.decoding.prompt_keys`).

On a CPU the blocks are unpacked once per prompt; on CUDA attention reads them where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from vllm.model_executor.layers.attention import Attention

from model.decoding.prompt_keys import ContiguousKeys, PromptKeys, rows_of_keys
from model.decoding.request import key_positions
from model.network.attention import AttentionPart
from model.network.config import RankGRConfig
from model.network.rank_head import Keys
from model.semantic_id.catalog import Int64s
from services.engine.vllm_plugin.packed_blocks import Packing
from services.engine.vllm_plugin.paged_states import PagedRankKeys

# Shapes: T prompt tokens, U keys of the rank head, B beams, D hidden size, H heads, K key-value heads,
# E width of a head, R heads of the rank head, n blocks.

CPU_BACKEND = "CPU_ATTN"
CUDA_BACKEND = "FLASH_ATTN"


@dataclass(frozen=True, slots=True, eq=False)
class FinishedPrompt:
    """Row `row` of this step's batch, whose prompt int64 [T] is complete; state [D]: of its last token."""

    row: int
    tokens: Int64s
    state: Tensor


class SharedKeys(NamedTuple):
    """The rank head's keys [U, R, E] of a prompt, and whether all states behind them are finite."""

    keys: Keys
    usable: bool


@dataclass(frozen=True, slots=True, eq=False)
class PagedCache:
    """The backbone's layers and the rank head's keys in one worker's cache."""

    config: RankGRConfig
    layers: Sequence[Attention]
    rank_keys: PagedRankKeys

    def prompt(self, metadata: Mapping[str, Any], finished: FinishedPrompt) -> PromptKeys:
        """What beams of this prompt need; `metadata`: vLLM's attention metadata of the step, by layer name."""
        length = len(finished.tokens)
        first = self.layers[0]
        blocks = self.blocks_of(metadata, finished.row, length)
        shared = self.shared_keys(blocks, finished.tokens)
        usable = shared.usable and bool(torch.isfinite(finished.state).all())
        rank_keys = shared.keys
        if first.get_attn_backend().get_name() == CPU_BACKEND:
            packing = Packing.of_cache(first.isa, first.kv_cache)
            pairs = [packing.unpack(layer.kv_cache, blocks, length) for layer in self.layers]
            keys, values = zip(*pairs, strict=True)
            return ContiguousKeys(keys, values, finished.state, rank_keys, usable)
        return PagedKeys(self.layers, blocks.to(torch.int32), length, finished.state, rank_keys, usable)

    def blocks_of(self, metadata: Mapping[str, Any], row: int, length: int) -> Tensor:
        """Blocks int64 [n] that hold the first `length` positions of a row of this step's batch."""
        first = self.layers[0]
        blocks: Tensor = metadata[first.layer_name].block_table[row][: -(-length // self.block_tokens)]
        return blocks.to(torch.int64)

    def shared_keys(self, blocks: Tensor, tokens: Int64s) -> SharedKeys:
        """The rank head's keys of a prompt int64 [T]: of its key positions, h_1 the last of them."""
        every = self.rank_keys.read(blocks, len(tokens))
        usable = all(bool(torch.isfinite(part).all()) for part in every)
        at = key_positions(tokens, self.config)
        at_U = None if len(at) == len(tokens) else torch.from_numpy(at).to(blocks.device)
        return SharedKeys(rows_of_keys(every, at_U), usable)

    @property
    def block_tokens(self) -> int:
        """Tokens of one block."""
        tokens: int = self.layers[0].kv_cache.shape[2]
        return tokens


@dataclass(frozen=True, slots=True, eq=False)
class PagedKeys:
    """Prompt keys that stay in blocks, read by FlashAttention through the block table int32 [n]."""

    layers: Sequence[Attention]
    block_table: Tensor
    length: int
    state: Tensor
    rank_keys: Keys
    usable: bool

    def attend(self, depth: int, q_BHE: Tensor, scale: float) -> AttentionPart:
        """See `PromptKeys`."""
        from vllm.v1.attention.backends.fa_utils import flash_attn_varlen_func, get_flash_attn_version

        layer = self.layers[depth]
        # As vLLM's own FlashAttention backend takes its cache apart: [blocks, tokens, heads, width] each.
        key_cache, value_cache = layer.kv_cache.transpose(1, 2).split(layer.head_size, dim=-1)
        beams = q_BHE.shape[0]
        output_BHE, lse_HB = flash_attn_varlen_func(
            q=q_BHE.contiguous(),
            k=key_cache,
            v=value_cache,
            cu_seqlens_q=_int32([0, beams], q_BHE.device),
            max_seqlen_q=beams,
            seqused_k=_int32([self.length], q_BHE.device),
            max_seqlen_k=self.length,
            softmax_scale=scale,
            causal=False,
            block_table=self.block_table.unsqueeze(0),
            return_softmax_lse=True,
            fa_version=get_flash_attn_version(head_size=layer.head_size),
        )
        return AttentionPart(output_BHE, lse_HB.transpose(0, 1))


def _int32(numbers: list[int], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32, device=device)
