"""What the trigger process is told by its environment."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.http import MAX_BODY_BYTES
from services.runtime.settings import ProcessSettings, StreamSettings


class TriggerSettings(ProcessSettings, StreamSettings):
    """RANKGR_TRIGGER_*; docs/settings.md explains each."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_TRIGGER_")

    port: int = 8101
    max_body_bytes: PositiveInt = MAX_BODY_BYTES
    request_ttl_s: PositiveFloat = Field(default=600.0, allow_inf_nan=False)
    store_timeout_ms: PositiveInt = 50
    at_once: PositiveInt = 512
    user_per_s: NonNegativeFloat = Field(default=100.0, allow_inf_nan=False)
    user_burst: PositiveInt = 200
    key_per_s: NonNegativeFloat = Field(default=0.0, allow_inf_nan=False)
    key_burst: PositiveInt = 1000
