"""What the precompute process is told by its environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from contracts.candidate_set import MAX_ITEMS
from services.runtime.settings import BundleSettings, ClientSettings, ProcessSettings, StreamSettings, url_parts


def _http_urls(urls: str) -> str:
    for url in _split(urls) or [""]:
        parts = url_parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL that begins with http:// or https://, or several, with commas between them")
        if parts.username is not None:
            raise ValueError("must hold no user name: it would stand in metrics and logs")
    if len(set(_split(urls))) < len(_split(urls)):
        raise ValueError("names an engine twice")
    return urls


def _split(urls: str) -> list[str]:
    return [url.strip().rstrip("/") for url in urls.split(",") if url.strip()]


HttpUrls = Annotated[str, AfterValidator(_http_urls)]


class PrecomputeSettings(ProcessSettings, StreamSettings, BundleSettings, ClientSettings):
    """RANKGR_PRECOMPUTE_*; docs/settings.md explains each.  What a history keeps is history's to say."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_PRECOMPUTE_")

    port: int = 8111
    engine_url: HttpUrls = "http://127.0.0.1:8103"
    engine_deadline_ms: PositiveInt = 5000
    max_age_s: PositiveFloat = Field(default=60.0, allow_inf_nan=False)
    max_items: int = Field(default=MAX_ITEMS, ge=1, le=MAX_ITEMS)
    exclude_purchased: bool = False
    ttl_s: PositiveFloat = Field(default=86_400.0, allow_inf_nan=False)
    previous_ttl_s: PositiveFloat = Field(default=120.0, allow_inf_nan=False)
    concurrency: PositiveInt = 16
    # With those that are given back, no more than one process holds of a Kafka topic: else it would not see the newest.
    waiting: int = Field(default=64, ge=1, le=200)
    max_attempts: PositiveInt = 200
    retry_after_s: PositiveFloat = Field(default=15.0, allow_inf_nan=False)
    retry_delay_s: PositiveFloat = Field(default=0.5, allow_inf_nan=False)
    history_keep: PositiveInt = Field(default=1000, validation_alias="RANKGR_HISTORY_KEEP")
    history_drop_block: PositiveInt = Field(default=128, validation_alias="RANKGR_HISTORY_DROP_BLOCK")
    history_ttl_s: PositiveFloat = Field(
        default=2_592_000.0, allow_inf_nan=False, validation_alias="RANKGR_HISTORY_TTL_S"
    )

    @property
    def longest_wait_s(self) -> float:
        """How long a trigger may wait for a place: with the engine call after it, it is settled before it is due.

        At most a third of that time; half of what a long engine call leaves, and never so little that it only comes
        and goes.
        """
        left_s = self.retry_after_s - self.engine_deadline_ms / 1000
        return min(self.max_age_s, self.retry_after_s / 3, max(left_s / 2, self.retry_after_s / 10))

    @property
    def held(self) -> int:
        """How many triggers are taken from the stream at once.

        More than may work and wait: the newest can only go first if there is room to see them.
        """
        return 2 * self.concurrency + self.waiting

    @property
    def engine_urls(self) -> tuple[str, ...]:
        """The engine's replicas; a user's place among them follows from these very texts."""
        return tuple(_split(self.engine_url))
