"""What the retrieval process is told by its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import BundleSettings, ProcessSettings, StoreSettings


class RetrievalSettings(ProcessSettings, StoreSettings, BundleSettings):
    """RANKGR_RETRIEVAL_*; docs/settings.md explains each.  Of the bundle only popular.json is read."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_RETRIEVAL_")

    port: int = 8102
    max_age_s: float = Field(default=900.0, ge=0, allow_inf_nan=False)
    store_timeout_ms: PositiveInt = 50
    at_once: PositiveInt = 64
    waiters: int = Field(default=2000, ge=0)
    hidden_file: Path | None = None
    old_lists_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
