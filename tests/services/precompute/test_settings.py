"""Precompute's settings: an engine address that cannot be one is refused at the start, by name."""

from __future__ import annotations

import pytest

from services.precompute.settings import PrecomputeSettings
from services.runtime.settings import read_settings


@pytest.mark.parametrize("url", ["engine:8103", "ftp://engine", "http://", "http://engine:port", "http://[engine"])
def test_an_engine_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE", "/somewhere")
    monkeypatch.setenv("RANKGR_PRECOMPUTE_ENGINE_URL", url)
    with pytest.raises(SystemExit, match=r"^rankgr: bad settings: RANKGR_PRECOMPUTE_ENGINE_URL: "):
        read_settings(PrecomputeSettings)
