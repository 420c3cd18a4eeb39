"""Reading prompts on a CPU: torch's fused attention in place of vLLM's kernel, which is slower.

The cache stays vLLM's: its writer fills the blocks, and what a prompt found there is unpacked for the new tokens.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from vllm.model_executor.layers.attention import Attention

from model.decoding.prompt_keys import attend_onwards
from services.engine.vllm_plugin.packed_blocks import Packing

# Shapes: N tokens of a step, S new tokens of one prompt, H heads, K key-value heads, E width of a head.


class CpuPromptAttention:
    """In the place of a layer's `impl`; whatever else vLLM asks of it is vLLM's own."""

    def __init__(self, impl: Any) -> None:  # noqa: ANN401  # vLLM's implementation, untyped here
        self._impl = impl

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # stands for all of them
        return getattr(self._impl, name)

    def forward(  # noqa: PLR0913  # vLLM's signature
        self,
        layer: Attention,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        kv_cache: Tensor,
        attn_metadata: Any,  # noqa: ANN401  # vLLM's, untyped here
        output: Tensor,
        **_scales: Tensor | None,
    ) -> Tensor:
        """Heads' outputs into `output` [N, H, E]; without metadata (a trial run) nothing."""
        if attn_metadata is None:
            return output
        starts = attn_metadata.query_start_loc.tolist()
        lengths = attn_metadata.seq_lens.tolist()
        block_tokens = kv_cache.shape[2]
        for row, (first, last, length) in enumerate(zip(starts, starts[1:], lengths, strict=False)):
            known = length - (last - first)
            before = None
            if known:
                blocks = attn_metadata.block_table[row][: -(-known // block_tokens)].long()
                before = Packing.of_cache(layer.isa, kv_cache).unpack(kv_cache, blocks, known)
            own = key[first:last].transpose(0, 1), value[first:last].transpose(0, 1)
            output[first:last] = attend_onwards(query[first:last], own, before)
        return output
