"""The pooled form: one vLLM request per user, the whole search inside the step that finishes its prompt.

To vLLM it is an embedding model whose embedding is the packed list.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence, Set

import numpy as np
import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.model_executor.layers.pooler import Pooler
from vllm.model_executor.layers.pooler.common import PoolingParamsUpdate
from vllm.v1.pool.metadata import PoolingMetadata

from contracts.errors import EngineFailed, RankGRError
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.stages import Job
from services.engine.vllm_plugin.backbone_model import RankGRModel, Step
from services.engine.vllm_plugin.cpu_attention import CpuPromptAttention
from services.engine.vllm_plugin.names import EXTRA
from services.engine.vllm_plugin.packed_answer import pack, request_of
from services.engine.vllm_plugin.paged_prompt import CPU_BACKEND, FinishedPrompt

log = logging.getLogger(__name__)


class RankGRForPooling(RankGRModel):
    """Registered with vLLM as a pooling model."""

    is_pooling_model = True

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        for layer in self.cache_layers:
            if layer.get_attn_backend().get_name() == CPU_BACKEND:
                layer.impl = CpuPromptAttention(layer.impl)
        self.pooler = SearchingPooler(self)


class SearchingPooler(Pooler):
    """Searches for all users whose prompts end in this step, as one batch."""

    def __init__(self, model: RankGRModel) -> None:
        super().__init__()
        # A tuple: the model holds the pooler, not the other way round.
        self._model = (model,)

    def get_supported_tasks(self) -> Set[str]:
        """`embed` alone reads the prefix cache and is known to both of vLLM's runners."""
        return {"embed"}

    def get_pooling_updates(self, task: str) -> PoolingParamsUpdate:
        """The prompt's tokens say which positions are the rank head's keys."""
        return PoolingParamsUpdate(requires_token_ids=task == "embed")

    def forward(self, hidden_states: Tensor, pooling_metadata: PoolingMetadata) -> list[Tensor | None]:
        """One packed answer per finished prompt, None for one that is still being read."""
        model = self._model[0]
        cursor = pooling_metadata.get_pooling_cursor()
        finished = cursor.get_finished_mask()
        if model.step is None:
            # vLLM's trial run: no cache, no real prompt.
            return [pack(EngineFailed("trial run")) for _ in finished]
        tokens = pooling_metadata.get_prompt_token_ids_cpu()
        last = cursor.last_token_indices_gpu
        rows = [row for row, done in enumerate(finished) if done]
        prompts = [FinishedPrompt(row, tokens[row].numpy().astype(np.int64), hidden_states[last[row]]) for row in rows]
        requests = [
            request_of(prompt.tokens, (pooling_metadata.pooling_params[prompt.row].extra_kwargs or {}).get(EXTRA, {}))
            for prompt in prompts
        ]
        answers = iter(_search_all(model, model.step, prompts, requests))
        return [pack(next(answers)) if done else None for done in finished]


def _search_all(
    model: RankGRModel, step: Step, prompts: Sequence[FinishedPrompt], requests: Sequence[DecodeRequest]
) -> Sequence[DecodeResult | RankGRError]:
    """One answer per prompt; a batch that breaks is searched one by one, so that only its culprit fails."""
    prefill_ms = (time.perf_counter() - step.began_s) * 1e3
    try:
        return _search(model, step, prompts, requests, prefill_ms)
    except (RuntimeError, ValueError, MemoryError) as error:
        # An exception that leaves the pooler ends vLLM's worker, and with it everybody's requests.
        log.exception("searching for %d users failed", len(prompts))
        if len(prompts) > 1:
            return [
                _search_all(model, step, [prompt], [request])[0]
                for prompt, request in zip(prompts, requests, strict=True)
            ]
        return [EngineFailed(f"decoding failed on this request: {type(error).__name__}")]


def _search(
    model: RankGRModel,
    step: Step,
    prompts: Sequence[FinishedPrompt],
    requests: Sequence[DecodeRequest],
    prefill_ms: float,
) -> list[DecodeResult | RankGRError]:
    stages, cache = model.stages, model.cache
    accepted = [stages.accept(request) for request in requests]
    started_s = time.perf_counter()
    with torch.inference_mode():
        for prompt, job in zip(prompts, accepted, strict=True):
            if isinstance(job, Job):
                job.prompt = cache.prompt(step.attention, prompt)
    timings_ms = {"prefill": prefill_ms, "gather": (time.perf_counter() - started_s) * 1e3}
    stages.search([job for job in accepted if isinstance(job, Job)], timings_ms)
    started_s = time.perf_counter()
    answers = [job if isinstance(job, RankGRError) else stages.answer(job) for job in accepted]
    timings_ms["expand"] = (time.perf_counter() - started_s) * 1e3
    for answer in answers:
        if isinstance(answer, DecodeResult):
            answer.timings_ms.update(timings_ms)
    first = next((answer for answer in answers if isinstance(answer, DecodeResult)), None)
    if first is not None:
        # Told once, so that whoever counts batches counts this one once.
        first.counts["batch"] = len(prompts)
    return answers
