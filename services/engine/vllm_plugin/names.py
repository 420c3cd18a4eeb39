"""Words that the host and vLLM's worker processes agree on; imports nothing, so that either side may."""

from __future__ import annotations

# A bundle's config.json says Qwen2ForCausalLM, so that transformers loads it; the host puts one of these instead.
POOLING_ARCHITECTURE = "RankGRForPooling"
GENERATION_ARCHITECTURE = "RankGRForGeneration"

# The key of our part in PoolingParams.extra_kwargs and SamplingParams.extra_args.
EXTRA = "rankgr"

# The one that the equality tests ran against; another one may lay its cache out differently.
VLLM_VERSION = "0.32.0"

# The logits processor by the name under which vLLM loads it, for its V1 runner (a CPU's) and its V2 runner.
RSP_PROCESSOR = "services.engine.vllm_plugin.rsp_logits_processor:RSPLogitsProcessor"
RSP_PROCESSOR_V2 = "services.engine.vllm_plugin.rsp_logits_processor_v2:RSPLogitsProcessor"

# Beside a request's wishes: how many of its tokens are the prompt; without it, those up to the marker.
PROMPT_TOKENS = "prompt_tokens"
