"""How vLLM's CPU attention packs keys and values inside a block, learnt from its own writer.

Each instruction set has a packing of its own, and none is documented; numbers written through the writer tell it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

# Shapes: K key-value heads, P tokens of a block, E width of a head, n blocks of a prompt, T tokens of a prompt.


@dataclass(frozen=True, slots=True, eq=False)
class BlockOrder:
    """Where token t's number d lies in a block of one head: offset int64 [P, E].

    by_token, by_number: it is simply [P, E], or [E, P]; then a view does what else takes a gather.
    """

    offset: Tensor
    by_token: bool
    by_number: bool

    @classmethod
    def of(cls, offset_PE: Tensor) -> BlockOrder:
        """Recognise the two plain orders."""
        tokens, width = offset_PE.shape
        count = torch.arange(tokens * width)
        return cls(
            offset_PE,
            by_token=torch.equal(offset_PE, count.view(tokens, width)),
            by_number=torch.equal(offset_PE, count.view(width, tokens).t()),
        )

    def restore(self, packed: Tensor) -> Tensor:
        """[K, n * P, E], one piece, from blocks [n, K, P * E] in the writer's order."""
        blocks, heads, _ = packed.shape
        tokens, width = self.offset.shape
        if self.by_token:
            ordered = packed.reshape(blocks, heads, tokens, width)
        elif self.by_number:
            ordered = packed.reshape(blocks, heads, width, tokens).transpose(2, 3)
        else:
            ordered = packed.index_select(2, self.offset.flatten()).view(blocks, heads, tokens, width)
        # The fused attention reads a head's numbers side by side, whatever the strides say: of one block a reshape
        # alone would be a view.
        return ordered.transpose(0, 1).reshape(heads, blocks * tokens, width).contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """The order of keys and that of values."""

    key: BlockOrder
    value: BlockOrder

    @classmethod
    def of_cache(cls, isa: str, kv_cache: Tensor) -> Packing:
        """Of a layer's cache [blocks, K, P, 2 E]; found out once for each shape."""
        tokens, content = kv_cache.shape[2:]
        return _learnt(isa, tokens, content // 2, kv_cache.dtype)

    @classmethod
    def learn(cls, isa: str, tokens: int, width: int, dtype: torch.dtype) -> Packing:
        """Write known numbers through vLLM's writer and see where they end up."""
        from vllm import _custom_ops as ops

        count = tokens * width
        found = torch.zeros(2, count, dtype=torch.int64)
        for digit in range((count.bit_length() + 7) // 8):
            # Base 256: bfloat16 holds such small integers exactly.
            number = ((torch.arange(count) >> (8 * digit)) & 255).to(dtype).view(tokens, 1, width)
            block = torch.zeros(1, 1, 2 * tokens, width, dtype=dtype)
            keys, values = block.chunk(2, dim=2)
            ops.cpu_attn_reshape_and_cache(
                number,
                number.clone(),
                keys,
                values,
                torch.arange(tokens),
                isa,
                k_scale=1.0,
                v_scale=1.0,
                kv_cache_dtype="auto",
            )
            for row, part in enumerate((keys, values)):
                found[row] += part.reshape(-1).to(torch.int64) << (8 * digit)
        if not all(torch.equal(row.sort().values, torch.arange(count)) for row in found):
            raise RuntimeError(f"vLLM's CPU cache packs blocks in a way that cannot be read back ({isa}, {dtype})")
        key, value = (BlockOrder.of(row.argsort().view(tokens, width)) for row in found)
        return cls(key, value)

    def unpack(self, kv_cache: Tensor, blocks: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values [K, T, E] of a prompt's `blocks` int64 [n] in a layer's cache.

        kv_cache [blocks, K, P, 2 E]: per block and head first all keys, then all values.
        """
        total, heads, tokens, content = kv_cache.shape
        both = kv_cache.view(total, heads, 2, tokens * content // 2).index_select(0, blocks)
        return self.key.restore(both[:, :, 0])[:, :length], self.value.restore(both[:, :, 1])[:, :length]


@cache
def _learnt(isa: str, tokens: int, width: int, dtype: torch.dtype) -> Packing:
    return Packing.learn(isa, tokens, width, dtype)
