"""The form that generates: plain IAP logits out of the model, RSP by the logits processor beside it.

vLLM searches here, by its own beam search or whatever else asks for tokens one by one.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional
from vllm.config import VllmConfig

from services.engine.vllm_plugin.backbone_model import RankGRModel


class RankGRForGeneration(RankGRModel):
    """Registered with vLLM as a text generation model; the same weights as the pooled form."""

    is_text_generation_model = True

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.asked: Tensor | None = None

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [rows, vocabulary] of the rows that get a token; the processor finds their states in `asked`."""
        self.asked = hidden_states
        vocabulary = self.bundle.config.vocab_size
        return functional.linear(hidden_states, self.model.embed_tokens.weight[:vocabulary])
