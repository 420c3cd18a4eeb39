"""The small shape's bundle, written once for all tests here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.bench.engine.bundles import bundle_of
from services.bench.engine.shapes import SMALL


@pytest.fixture(scope="package")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the small bundle."""
    directory = tmp_path_factory.mktemp("bench")
    bundle_of(SMALL, 0, directory, datetime(2026, 11, 24, tzinfo=UTC))
    return directory


@pytest.fixture(scope="package")
def bundle(cache: Path) -> Path:
    """The small shape with seed 0."""
    return bundle_of(SMALL, 0, cache, datetime(2026, 11, 25, tzinfo=UTC))
