"""What vLLM loads into its own processes: the model in two forms, and the logits processor.

The entry point `vllm.general_plugins` names `register`.  `services.engine.vllm_host` starts vLLM and talks to it.
"""

from __future__ import annotations

from services.engine.vllm_plugin.names import GENERATION_ARCHITECTURE, POOLING_ARCHITECTURE


def register() -> None:
    """Tell vLLM of the two architectures; called in each of its processes, imports neither."""
    from vllm import ModelRegistry

    here = __name__
    ModelRegistry.register_model(POOLING_ARCHITECTURE, f"{here}.pooling_model:RankGRForPooling")
    ModelRegistry.register_model(GENERATION_ARCHITECTURE, f"{here}.generation_model:RankGRForGeneration")
