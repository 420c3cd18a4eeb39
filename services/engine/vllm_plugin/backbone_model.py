"""vLLM's Qwen2 with the rank head beside it: what both forms of the model share.

Keeps, after each forward pass, what decoding needs of the step: vLLM's own context is gone by then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.models.qwen2 import Qwen2Model
from vllm.model_executor.models.utils import AutoWeightsLoader, maybe_prefix

from model.bundle.read import WEIGHTS_FILE
from model.decoding.blocks import Blocks
from model.decoding.stages import TwoStages
from model.network.rank_head import RankHead
from services.engine.vllm_plugin.check import check_cache, check_config
from services.engine.vllm_plugin.paged_prompt import PagedCache
from services.engine.vllm_plugin.paged_states import PagedRankKeys
from services.engine.vllm_plugin.steps import VllmNetwork
from services.engine.vllm_plugin.worker_bundle import read_worker_bundle


def rank_layer_name(layers: int) -> str:
    """vLLM's name of the first layer behind a backbone of so many."""
    return f"rank_keys.{layers}"


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One forward pass: vLLM's attention metadata by layer name, and when it began (perf_counter seconds)."""

    attention: Mapping[str, Any]
    began_s: float


class RankGRModel(nn.Module):
    """Weights under the bundle's own names: `model.*` as in Qwen2ForCausalLM, `rank_head.*`."""

    # vLLM's word for the files to read; a bundle holds the quantiser's tensors as well.
    allow_patterns_overrides = (WEIGHTS_FILE,)

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        self.bundle = read_worker_bundle(Path(vllm_config.model_config.model))
        config = self.bundle.config
        check_config(vllm_config, config)
        self.model = Qwen2Model(vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model"))
        self.rank_head = RankHead(config.rank_head, config.hidden_size)
        layers = [layer.self_attn.attn for layer in self.model.layers]
        self.rank_keys = PagedRankKeys(self.rank_head, layers[0], vllm_config, first_index=len(layers))
        self.rank_keys.belongs_to(self)
        self.step: Step | None = None
        # Not modules: they hold what is registered above.
        self._cache = PagedCache(config, layers, self.rank_keys)
        self._stages: TwoStages | None = None

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        """vLLM's name for the embedding."""
        embedded: Tensor = self.model.embed_input_ids(input_ids)
        return embedded

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: object | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Final states [N, D] of the step's tokens, and the rank head's keys of them into the cache."""
        began_s = time.perf_counter()
        states: Tensor = self.model(input_ids, positions, intermediate_tensors, inputs_embeds)
        attention = get_forward_context().attn_metadata
        self.step = Step(attention, began_s) if isinstance(attention, dict) and attention else None
        self.rank_keys.write(states)
        self._disarm(states)
        return states

    def _disarm(self, states: Tensor) -> None:
        """Take the values of tokens whose states are not finite out of the cache.

        Attention multiplies what lies behind a prompt's end in its last block by 0, and NaN stays NaN: left there,
        they would break whoever is given the block next.  The rank head's keys stay as they are: they tell that a
        prompt is of no use when it is found in the prefix cache.
        """
        if self.step is None or bool(torch.isfinite(states).all()):
            return
        slot_mapping = get_forward_context().slot_mapping
        bad = (~torch.isfinite(states).all(-1)).nonzero().squeeze(1)
        for layer in self._cache.layers:
            slots = slot_mapping[layer.layer_name][bad]
            nothing = states.new_zeros(len(bad), layer.num_kv_heads, layer.head_size)
            layer.impl.do_kv_cache_update(layer, nothing, nothing, layer.kv_cache, slots)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Called again when weights are replaced: what was made of the old ones is dropped."""
        self._stages = None
        loaded: set[str] = AutoWeightsLoader(self).load_weights(weights)
        return loaded

    @property
    def cache_layers(self) -> Sequence[Attention]:
        """vLLM's attention layers of the backbone, bottom first."""
        return self._cache.layers

    @property
    def cache(self) -> PagedCache:
        """The paged cache, checked."""
        check_cache(self._cache)
        return self._cache

    @property
    def stages(self) -> TwoStages:
        """The decoding stages for the weights of now; made at first use, for they hold tables of the weights."""
        if self._stages is None:
            network = VllmNetwork(self.bundle.config, self.model, self.rank_head)
            with torch.inference_mode():
                self._stages = TwoStages(
                    network,
                    self.bundle.catalog,
                    blocks=Blocks.on(network.device),
                    neighbours=self.bundle.neighbours,
                )
        return self._stages
