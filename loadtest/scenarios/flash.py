"""A flash crowd: shoppers as always, several times as many within seconds, and as always again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import ClassVar

from locust import LoadTestShape, between, events

import loadtest.hooks
from loadtest.page_views import PageViews
from loadtest.phases import Crowd, Episode

TIMES = 10.0


class Flash(PageViews):
    """Shoppers in a hurry: what they came for may be gone."""

    scenario: ClassVar[str] = "flash"
    wait_ms: ClassVar[int] = 500
    wait_time = between(0.1, 0.5)

    @classmethod
    def episode(cls, run_s: float) -> Episode | None:
        """The crowd."""
        return Crowd(1, TIMES, run_s).episode


class Arrivals(LoadTestShape):
    """How many there are when; `--users` and `--run-time` are its base and its length."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Users and their rate of coming and going now."""
        assert self.runner is not None
        options = loadtest.hooks.options_of(self.runner.environment)
        crowd = Crowd(options.num_users or 1, options.crowd, loadtest.hooks.run_s(options))
        return crowd.at(self.get_run_time())  # type: ignore[no-untyped-call]


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--crowd", type=float, default=TIMES, help="In the middle third there are so many times the users."
    )
