"""`LLM.beam_search` of vLLM over a plain Qwen2 directory, held to a bundle's trie; blocks, one engine per instance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.semantic_id.catalog import Int64s
from services.engine.vllm_baseline.trie_mask import BUNDLE_KEY, NAME

MIB = 2**20


@dataclass(frozen=True, slots=True)
class BaselineOptions:
    """backbone: a Qwen2 directory; bundle: whose catalogue and prompt format count; longest: prompt and codes."""

    backbone: Path
    bundle: Path
    dtype: str
    threads: int
    longest: int
    widest: int
    token_offsets: tuple[int, ...]
    cache_mib: int = 1024

    def environment(self) -> Mapping[str, str]:
        """Variables that vLLM's processes read."""
        return {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(self.threads),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # The processor is the V1 runner's, the one that a CPU has.
            "VLLM_PLUGINS": "",
        }

    def arguments(self) -> dict[str, Any]:
        """Of `LLM`: the prefix cache and as many sequences at once as there are beams, so that it is at its best."""
        return {
            "model": str(self.backbone),
            "dtype": self.dtype,
            "max_model_len": self.longest,
            "max_num_seqs": max(16, self.widest),
            "max_num_batched_tokens": max(self.longest, 8192),
            "enable_prefix_caching": True,
            "block_size": 32,
            "kv_cache_memory_bytes": self.cache_mib * MIB,
            "enforce_eager": True,
            "max_logprobs": 2 * self.widest,
            "logprobs_mode": "processed_logprobs",
            "logits_processors": [NAME],
            "additional_config": {BUNDLE_KEY: str(self.bundle)},
            "disable_log_stats": True,
        }


class VllmBeamSearch:
    """vLLM's decoder, its defaults but for what `BaselineOptions` says."""

    def __init__(self, options: BaselineOptions) -> None:
        os.environ.update(options.environment())
        from vllm import LLM

        self._llm = LLM(**options.arguments())
        self._offsets = np.array(options.token_offsets, dtype=np.int64)

    def search(self, prompts: list[Int64s], width: int) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]]:
        """Codes [K, M] and summed log p [K] of each prompt, best first; K is at most the width."""
        from vllm import TextPrompt, TokensPrompt
        from vllm.sampling_params import BeamSearchParams

        levels = len(self._offsets)
        params = BeamSearchParams(beam_width=width, max_tokens=levels, ignore_eos=True)
        asked: list[TokensPrompt | TextPrompt] = [TokensPrompt(prompt_token_ids=prompt.tolist()) for prompt in prompts]
        found: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]] = []
        for output in self._llm.beam_search(asked, params):
            # Masked tokens fill up where fewer than 2 x width were left.
            beams = [beam for beam in output.sequences if np.isfinite(beam.cum_logprob)]
            codes = np.array([beam.tokens[-levels:] for beam in beams], dtype=np.int64).reshape(-1, levels)
            score = np.array([beam.cum_logprob for beam in beams], dtype=np.float64)
            found.append(((codes - self._offsets).astype(np.int32), score))
        return found
