"""`RSPLogitsProcessor` for vLLM's V2 runner, CUDA's default, which takes another base class.

Not run here: the V2 runner needs Triton with a backend, which the CPU build does not have.  Its base class and the
fields that it reads are checked against the installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcessor, LogitsProcRequestState

from services.engine.vllm_plugin.rsp_rows import Asked, RspRows


class RSPLogitsProcessor(LogitsProcessor):
    """See the V1 form; requests are known by their slot, tokens lie on the device."""

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        self._rsp = RspRows(vllm_config)
        self._states = req_states
        self._extra: dict[int, Mapping[str, Any] | None] = {}

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """A slot's new occupant; every request is scored."""
        self._extra[req_idx] = sampling_params.extra_args
        return True

    def apply(self, logits: Tensor, ctx: LogitsContext) -> Tensor:
        """Scores in place of the logits [rows, vocabulary]; without speculation rows are batch positions."""
        slots = ctx.expanded_idx_mapping.tolist()
        lengths = (ctx.pos + 1).tolist()
        every = self._states.all_token_ids.gpu
        rows = [
            Asked.of(every[slot, :length].to(torch.int64).cpu().numpy(), self._extra.get(slot))
            for slot, length in zip(slots, lengths, strict=True)
        ]
        return self._rsp.apply(logits, rows)
