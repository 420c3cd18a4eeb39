"""What locust runs where nobody names a scenario: steady page views."""

from __future__ import annotations

from loadtest.scenarios.steady import Steady

__all__ = ["Steady"]
