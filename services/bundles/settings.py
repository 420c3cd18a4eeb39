"""What whoever publishes bundles is told by the environment."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from services.runtime.settings import BundleStoreSettings


class PublishSettings(BundleStoreSettings):
    """Where bundles are published, and how many stay there."""

    bundle_keep: PositiveInt = Field(default=10, validation_alias="RANKGR_BUNDLE_KEEP")
