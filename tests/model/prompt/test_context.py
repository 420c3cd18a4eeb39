"""What a prompt learns of a request's circumstances."""

from __future__ import annotations

import pytest

from contracts.errors import BadRequest
from model.prompt.context import PromptContext, device_class


@pytest.mark.parametrize(
    ("said", "device"),
    [
        (None, "none"),
        ("", "none"),
        ("Unknown", "none"),
        ("desktop", "desktop"),
        ("web", "desktop"),
        ("Windows PC", "desktop"),
        ("phone", "mobile"),
        ("iOS app", "mobile"),
        ("mobile web", "mobile"),
        ("android tablet", "tablet"),
        ("iPad", "tablet"),
        ("fridge", "other"),
        ("other", "other"),
    ],
)
def test_a_device_becomes_one_of_few_classes(said: str | None, device: str) -> None:
    assert device_class(said) == device


def test_the_hour_is_that_of_the_timestamp_in_utc() -> None:
    # 2019-11-05 17:20:00 UTC
    assert PromptContext.at(1_572_974_400_000).hour == 17
    assert PromptContext.at(0).hour == 0
    assert PromptContext.at(3_599_999).hour == 0


def test_without_a_time_there_is_no_hour() -> None:
    assert PromptContext.at(None, "home", "phone") == PromptContext("home", None, "phone")


@pytest.mark.parametrize("hour", [-1, 24])
def test_an_hour_outside_the_day_is_refused(hour: int) -> None:
    with pytest.raises(BadRequest, match="hour must be 0 to 23"):
        PromptContext(hour=hour)
