"""`RSPLogitsProcessor` for vLLM's V1 runner, the one that a CPU has: RSP as vLLM's documented extension point.

Give `names.RSP_PROCESSOR` as `--logits-processors`, with `--logprobs-mode processed_logits`: log s must not be
normalised again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from model.semantic_id.catalog import Int64s
from services.engine.vllm_plugin.batch_rows import BatchRows
from services.engine.vllm_plugin.rsp_rows import Asked, RspRows


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A row's request; `output` is vLLM's own list, which grows."""

    prompt: Int64s
    output: Sequence[int]
    params: SamplingParams

    @classmethod
    def of(cls, params: SamplingParams, prompt: Sequence[int], output: Sequence[int]) -> _Request:
        return cls(np.asarray(prompt, np.int64), output, params)

    def asked(self) -> Asked:
        tokens = np.concatenate((self.prompt, np.asarray(self.output, np.int64))) if self.output else self.prompt
        return Asked.of(tokens, self.params.extra_args)


class RSPLogitsProcessor(LogitsProcessor):
    """Masks to the trie, keeps the top lambda by IAP, puts log s in the logits."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        del device, is_pin_memory
        self._rsp = RspRows(vllm_config)
        self._requests = BatchRows(_Request.of)

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Nothing to refuse: wishes are checked where the catalogue is."""

    def is_argmax_invariant(self) -> bool:
        """The likeliest token is rarely the best."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the rows that come, go and move."""
        self._requests.update(batch_update)

    def apply(self, logits: Tensor) -> Tensor:
        """Scores in place of the logits [rows, vocabulary]."""
        requests = [self._requests[row] for row in range(len(logits))]
        return self._rsp.apply(logits, [None if request is None else request.asked() for request in requests])
