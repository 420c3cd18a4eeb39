"""Steady page views: so many shoppers, all the time."""

from __future__ import annotations

from typing import ClassVar

import loadtest.hooks  # noqa: F401 - options, verdict and report
from loadtest.page_views import PageViews


class Steady(PageViews):
    """Shoppers who come by and go."""

    scenario: ClassVar[str] = "steady"
