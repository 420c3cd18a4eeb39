"""When each shopper comes, from which scene, and on which device.

Drawn before anything is shown; `model.data.synthetic` walks through it request by request.  Knows no item.
"""

# Shapes: U shoppers, R most requests of a shopper.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.data.arrays import Bool, Int64
from model.data.marketplace.config import SECONDS_PER_DAY, CalendarConfig

SCENES = ("home", "search", "cart")
HOME, SEARCH, CART = range(len(SCENES))
DEVICES = ("mobile", "desktop", "tablet")
MOBILE, DESKTOP, TABLET = range(len(DEVICES))
# Longer than any request's clicks and purchases take: requests of a shopper never overlap.
SHORTEST_GAP_S = 600
# How busy each hour of the day is (UTC): quiet nights, a lunch bump, a long evening.
_BUSY_BY_HOUR = (3, 2, 1, 1, 1, 2, 4, 6, 7, 8, 8, 9, 11, 10, 8, 8, 9, 10, 12, 14, 15, 14, 10, 6)


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """The requests to come, `requests_U` of each shopper; what lies beyond that number is filler."""

    requests_U: Int64
    second_UR: Int64
    """Unix seconds, rising along R."""
    searching_UR: Bool
    device_UR: Int64


def plan_visits(users: int, calendar: CalendarConfig, rng: np.random.Generator) -> Visits:
    """Draw the requests of `users` shoppers over the calendar's days."""
    most = calendar.most_requests
    requests_U = calendar.fewest_requests + rng.binomial(most - calendar.fewest_requests, 0.5, size=users)
    busy = np.array(_BUSY_BY_HOUR, np.float64)
    hour_UR = rng.choice(len(busy), size=(users, most), p=busy / busy.sum())
    day_UR = rng.integers(calendar.days, size=(users, most))
    within_UR = rng.integers(3600, size=(users, most))
    second_UR = np.sort(day_UR * SECONDS_PER_DAY + hour_UR * 3600 + within_UR, axis=1)
    # Push apart what fell too close together; the longest push is a few hours and keeps the order.
    steps_R = np.arange(most) * SHORTEST_GAP_S
    second_UR = np.maximum.accumulate(second_UR - steps_R, axis=1) + steps_R

    shares = (calendar.mobile_share, 1 - calendar.mobile_share - calendar.tablet_share, calendar.tablet_share)
    usual_U = rng.choice(len(DEVICES), size=users, p=shares)
    other_UR = rng.choice(len(DEVICES), size=(users, most), p=shares)
    usual_UR = rng.random((users, most)) < calendar.usual_device
    return Visits(
        requests_U=requests_U,
        second_UR=second_UR + calendar.start_timestamp_s,
        searching_UR=rng.random((users, most)) < calendar.search_share,
        device_UR=np.where(usual_UR, usual_U[:, None], other_UR),
    )
