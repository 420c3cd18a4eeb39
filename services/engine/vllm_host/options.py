"""How vLLM is started: what the engine's settings leave open, in vLLM's own words.

vLLM reads part of it from the environment alone, in this process and in those that it starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contracts.errors import BadBundle
from model.network.config import RankGRConfig
from services.engine.vllm_plugin.names import GENERATION_ARCHITECTURE, POOLING_ARCHITECTURE, RSP_PROCESSOR

# What vLLM's attention takes on a CPU and what FlashAttention takes on CUDA (multiples of 8 up to 256).
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256)
# Small blocks find more of a user's last prompt again, and vLLM's CPU attention wants multiples of 32.
BLOCK_TOKENS = 32
# Sequences of one step where every beam is one.
BEAMS_AT_ONCE = 256

DType = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """One engine.  `most`: users in one step; `waiting`: how many more may wait; `threads` 0: every core.

    `step_tokens`: prompt tokens of one step, longer prompts are read in chunks; `cache_bytes`: the paged cache, made
    larger where the prompts of one step would not fit.
    `compiled`: let vLLM compile the backbone, which takes a C++ compiler and a minute at start.  A worker that has
    not answered anybody for `stalled_after_s` counts as one that never will.
    """

    bundle: Path
    config: RankGRConfig
    most: int
    waiting: int
    threads: int = 0
    step_tokens: int = 8192
    cache_bytes: int = 2**30
    dtype: DType = "float32"
    compiled: bool = False
    stalled_after_s: float = 120.0

    def __post_init__(self) -> None:
        heads, width = self.config.num_attention_heads, self.config.head_dim
        if heads * width != self.config.hidden_size:
            raise BadBundle(f"vLLM computes heads of hidden size / heads, this model's are {width} wide: --host torch")
        if width not in CPU_HEAD_SIZES:
            known = ", ".join(map(str, CPU_HEAD_SIZES))
            raise BadBundle(f"vLLM's attention takes heads of {known}, this model's are {width} wide: use --host torch")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of vLLM's EngineArgs that both forms of the model share."""
        longest = self.config.max_position_embeddings
        return {
            "model": str(self.bundle),
            "dtype": self.dtype,
            "max_model_len": longest,
            # A search holds the step up: more users in one step than this would make everybody wait for them.
            "max_num_seqs": self.most,
            "max_num_batched_tokens": max(self.step_tokens, self.most),
            "enable_chunked_prefill": True,
            "enable_prefix_caching": True,
            "block_size": BLOCK_TOKENS,
            "kv_cache_memory_bytes": max(self.cache_bytes, (self.most + 1) * longest * self._token_bytes()),
            "enforce_eager": not self.compiled,
            # Beams are searched on one rank; replicas scale.
            "tensor_parallel_size": 1,
            "distributed_executor_backend": "uni",
            "disable_log_stats": True,
        }

    def _token_bytes(self) -> int:
        """What the paged cache keeps of one token: keys and values of each layer, and what RSP needs."""
        config = self.config
        each = 2 * config.num_key_value_heads * config.head_dim
        head = config.rank_head
        numbers = head.heads * head.dim * (1 if head.mode == "literal" else 2)
        return (config.num_hidden_layers + -(-numbers // each)) * each * (4 if self.dtype == "float32" else 2)

    def pooling_arguments(self) -> dict[str, Any]:
        """Of the pooled form."""
        return self.arguments() | {
            "runner": "pooling",
            "hf_overrides": {"architectures": [POOLING_ARCHITECTURE]},
        }

    def generation_arguments(self) -> dict[str, Any]:
        """Of the form that the logits processor works on: a sequence per beam, and as many scores as are kept."""
        beams_bytes = BEAMS_AT_ONCE * 2 * BLOCK_TOKENS * self._token_bytes()
        plain = self.arguments()
        return plain | {
            "runner": "generate",
            "hf_overrides": {"architectures": [GENERATION_ARCHITECTURE]},
            "max_num_seqs": BEAMS_AT_ONCE,
            "max_num_batched_tokens": max(self.step_tokens, BEAMS_AT_ONCE),
            "kv_cache_memory_bytes": plain["kv_cache_memory_bytes"] + beams_bytes,
            "max_logprobs": -1,
            # log s must not be normalised again.
            "logprobs_mode": "processed_logits",
            "logits_processors": [RSP_PROCESSOR],
            # Whole steps in CUDA graphs would not run what the processor needs of the step.
            "compilation_config": {"cudagraph_mode": "PIECEWISE"},
        }

    def generation_environment(self) -> dict[str, str]:
        """The runner whose interface the processor has."""
        return self.environment() | {"VLLM_USE_V2_MODEL_RUNNER": "0"}

    def environment(self) -> dict[str, str]:
        """Variables that vLLM's processes read."""
        threads = self.threads or len(os.sched_getaffinity(0))
        return {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_PLUGINS": "rankgr",
            # Answers go to standard output where the command line prints them: vLLM's lines must not.
            "VLLM_LOGGING_STREAM": "ext://sys.stderr",
            "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
            # Bound to cores, vLLM's threads would fight with whatever else the kernel has put there.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
            # The worker inside the process that schedules: one way less for every step.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
