"""What the samples process is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ProcessSettings, StreamSettings


class SamplesSettings(ProcessSettings, StreamSettings):
    """RANKGR_SAMPLES_*; docs/settings.md explains each."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_SAMPLES_")

    port: int = 8112
    state: Path
    share: NonNegativeInt = 0
    shares: PositiveInt = 1
    window_s: PositiveFloat = Field(default=900.0, allow_inf_nan=False)
    gap_s: PositiveFloat = Field(default=300.0, allow_inf_nan=False)
    correct_s: PositiveFloat = Field(default=86_400.0, allow_inf_nan=False)
    history_items: PositiveInt = 512
    pseudo_exposures: int = Field(default=10, ge=0, le=100)
    lateness_s: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    idle_s: float = Field(default=5.0, ge=1, allow_inf_nan=False)
    ahead_s: float = Field(default=60.0, ge=1, allow_inf_nan=False)
    turn_ms: int = Field(default=200, ge=0, le=10_000)
    turn_messages: int = Field(default=5000, ge=1, le=100_000)
    keep_samples: PositiveInt = 200_000
    user_ttl_s: PositiveFloat = Field(default=2_592_000.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _a_share_of_them(self) -> Self:
        if self.share >= self.shares:
            raise ValueError("RANKGR_SAMPLES_SHARE counts from 0 and lies below RANKGR_SAMPLES_SHARES")
        return self
