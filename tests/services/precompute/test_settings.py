"""Precompute's settings: an engine address that cannot be one is refused at the start, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.precompute.settings import PrecomputeSettings
from services.runtime.settings import read_settings


@pytest.mark.parametrize(
    "url",
    [
        "engine:8103",
        "ftp://engine",
        "http://",
        "http://engine:port",
        "http://[engine",
        ",",
        "http://a:1,b:1",
        "http://a:1,http://a:1/",
        "http://name:word@a:1",
    ],
)
def test_an_engine_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE", "/somewhere")
    monkeypatch.setenv("RANKGR_PRECOMPUTE_ENGINE_URL", url)
    with pytest.raises(SystemExit, match=r"^rankgr: bad settings: RANKGR_PRECOMPUTE_ENGINE_URL: "):
        read_settings(PrecomputeSettings)


def test_several_engines_stand_with_commas_between_them() -> None:
    settings = PrecomputeSettings(bundle=Path("b"), engine_url="http://a:8103, https://b/,")
    assert settings.engine_urls == ("http://a:8103", "https://b")
