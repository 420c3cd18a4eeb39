"""What the trainer is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import BundleStoreSettings, ProcessSettings, StreamSettings


class TrainerSettings(ProcessSettings, StreamSettings, BundleStoreSettings):
    """RANKGR_TRAINER_*; docs/settings.md explains each."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_TRAINER_")

    port: int = 8113
    bundle_keep: PositiveInt = Field(default=10, validation_alias="RANKGR_BUNDLE_KEEP")
    state: Path = Path("var/trainer")
    config: Path | None = None
    seed: NonNegativeInt = 0
    threads: NonNegativeInt = 0
    publish_every_s: float = Field(default=3600.0, ge=1, le=7 * 24 * 3600, allow_inf_nan=False)
    checkpoint_every_s: float = Field(default=60.0, ge=0.1, le=24 * 3600, allow_inf_nan=False)
    look_every_s: float = Field(default=10.0, ge=0.05, le=3600, allow_inf_nan=False)
    read_at_once: PositiveInt = 256
    batch_samples: PositiveInt = 16
    learning_rate: PositiveFloat | None = Field(default=None, allow_inf_nan=False)
    warmup_steps: NonNegativeInt = 10
    precision: Literal["float32", "bf16"] = "float32"
    replay_share: float = Field(default=0.3, ge=0, le=0.9)
    reservoir: PositiveInt = 20_000
    replay_horizon: PositiveInt = 1_000_000
    held_out_share: float = Field(default=0.1, ge=0, lt=1)
    held_out_s: PositiveFloat = Field(default=3600.0, allow_inf_nan=False)
    held_out_most: PositiveInt = 2_000
    popular_half_life_s: NonNegativeFloat = Field(default=24 * 3600.0, allow_inf_nan=False)
    popular_prior: PositiveFloat = Field(default=1_000.0, allow_inf_nan=False)
    explosion: PositiveFloat = Field(default=5.0, allow_inf_nan=False)
    skipped_in_row: PositiveInt = 20
    gate_k: int = Field(default=20, ge=1, le=1400)
    gate_max_fall: float = Field(default=0.05, ge=0, le=1)
    gate_min_users: PositiveInt = 50
    gate_golden_ms: NonNegativeFloat = Field(default=5000.0, allow_inf_nan=False)
    refusals: PositiveInt = 3

    @model_validator(mode="after")
    def _there_is_a_store(self) -> Self:
        if not self.bundle_store:
            raise ValueError("RANKGR_BUNDLE_STORE: must be set: the trainer begins with what is served from there")
        if round(self.batch_samples * (1.0 - self.replay_share)) < 1:
            raise ValueError(
                "RANKGR_TRAINER_BATCH_SAMPLES and RANKGR_TRAINER_REPLAY_SHARE leave no room for a new sample"
            )
        return self
