"""What the history process is told by its environment."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ProcessSettings, StreamSettings


class HistorySettings(ProcessSettings, StreamSettings):
    """RANKGR_HISTORY_*; docs/settings.md explains each."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_HISTORY_")

    port: int = 8110
    keep: PositiveInt = 1000
    drop_block: PositiveInt = 128
    ttl_s: PositiveFloat = Field(default=2_592_000.0, allow_inf_nan=False)
    concurrency: PositiveInt = 32
    max_attempts: PositiveInt = 1000
    retry_after_s: PositiveFloat = Field(default=15.0, allow_inf_nan=False)
    retry_delay_s: PositiveFloat = Field(default=1.0, allow_inf_nan=False)
