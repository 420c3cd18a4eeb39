"""What must hold of vLLM before a request is decoded in it: its version, its parallelism, its cache.

Used by the worker, where a broken assumption would otherwise show as wrong items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import vllm
from vllm.config import VllmConfig

from model.network.config import RankGRConfig
from services.engine.vllm_plugin.names import VLLM_VERSION

if TYPE_CHECKING:
    from services.engine.vllm_plugin.paged_prompt import PagedCache


def check_config(vllm_config: VllmConfig, config: RankGRConfig) -> None:
    """RuntimeError in one line where vLLM was started in a way that this model does not work in."""
    parallel, cache = vllm_config.parallel_config, vllm_config.cache_config
    wrong = ""
    if vllm.__version__.split("+")[0] != VLLM_VERSION:
        wrong = f"vLLM {vllm.__version__} is installed, {VLLM_VERSION} is what the equality tests ran against"
    elif parallel.tensor_parallel_size != 1 or parallel.pipeline_parallel_size != 1:
        wrong = "beams are searched on one rank: scale by replicas, not by tensor or pipeline parallelism"
    elif cache.cache_dtype != "auto":
        wrong = f"the cache must hold the model's own dtype, not {cache.cache_dtype}"
    elif config.head_dim * config.num_attention_heads != config.hidden_size:
        wrong = f"vLLM computes heads of hidden size / heads, this model's are {config.head_dim} wide"
    if wrong:
        raise RuntimeError(f"RankGR on vLLM: {wrong}")


def check_cache(cache: PagedCache) -> None:
    """RuntimeError where the cache that vLLM allocated is not laid out as the readers expect."""
    from services.engine.vllm_plugin.paged_prompt import CPU_BACKEND, CUDA_BACKEND

    config = cache.config
    for layer in cache.layers:
        backend = layer.get_attn_backend().get_name()
        if backend not in (CPU_BACKEND, CUDA_BACKEND):
            raise RuntimeError(f"RankGR on vLLM: attention backend {backend}, known are {CPU_BACKEND}, {CUDA_BACKEND}")
        shape = tuple(layer.kv_cache.shape)
        if len(shape) != 4 or (shape[1], shape[3]) != (config.num_key_value_heads, 2 * config.head_dim):
            raise RuntimeError(
                f"RankGR on vLLM: a cache of shape {shape}, expected "
                f"[blocks, {config.num_key_value_heads}, tokens, {2 * config.head_dim}]"
            )
