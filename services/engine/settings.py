"""What the engine process is told by its environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import BundleSettings, ProcessSettings

Dtype = Literal["auto", "float32", "bfloat16"]
ModelHost = Literal["torch", "vllm"]
Decoding = Literal["pooled", "logits-processor"]


class EngineSettings(ProcessSettings, BundleSettings):
    """RANKGR_ENGINE_*; docs/settings.md explains each."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_ENGINE_")

    port: int = 8103
    model_host: ModelHost = "torch"
    decoding: Decoding = "pooled"
    device: str = "cpu"
    dtype: Dtype = "auto"
    compile: bool = False
    threads: NonNegativeInt = 0
    max_batch: PositiveInt = 8
    max_wait_ms: NonNegativeFloat = Field(default=2.0, allow_inf_nan=False)
    queue: PositiveInt = 64
    prefix_cache_bytes: NonNegativeInt = 536_870_912
    deadline_ms: PositiveInt = 5000
    stalled_after_s: PositiveFloat = Field(default=120.0, allow_inf_nan=False)
    max_body_bytes: PositiveInt = 4_194_304
    channel: Literal["latest", "canary"] = "latest"
    turn_s: float = Field(default=60.0, ge=0, le=3600, allow_inf_nan=False)
