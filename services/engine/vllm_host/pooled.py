"""The pooled search: one vLLM request per user, whose answer is the packed list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.errors import EngineDown, RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from services.engine.vllm_host.options import VllmOptions
from services.engine.vllm_plugin.names import EXTRA
from services.engine.vllm_plugin.packed_answer import unpack, wishes_of

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


@dataclass(frozen=True, slots=True)
class PooledSearch:
    """See `Search`."""

    def arguments(self, options: VllmOptions) -> dict[str, Any]:
        """A pooling model."""
        return options.pooling_arguments()

    def environment(self, options: VllmOptions) -> dict[str, str]:
        """Nothing of its own."""
        return options.environment()

    async def __call__(self, engine: AsyncLLM, request: DecodeRequest, name: str) -> DecodeResult:
        """Send, wait, unpack."""
        from vllm import PoolingParams
        from vllm.inputs import tokens_input

        params = PoolingParams(task="embed", extra_kwargs={EXTRA: wishes_of(request)})
        async for output in engine.encode(tokens_input(request.tokens.tolist()), params, name):
            if not output.outputs.data.numel():
                raise EngineDown("vLLM dropped the request")
            answer = unpack(output.outputs.data)
            if isinstance(answer, RankGRError):
                raise answer
            answer.counts["reused_tokens"] = output.num_cached_tokens
            answer.counts["computed_tokens"] = len(request.tokens) - output.num_cached_tokens
            return answer
        raise EngineDown("vLLM gave no answer")
