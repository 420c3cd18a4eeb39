"""Page views of shoppers: trigger, the page's other work, retrieve, the next page, what was done with the list."""

from __future__ import annotations

import time
from itertools import count
from random import Random

import gevent
from locust import between, task

from loadtest.shop import OTHER_WORK_S, ShopUser, now_ms
from loadtest.shopper import Shopper

VIEWS_OF_A_SHOPPER = 20

_shoppers = count(1)


class PageViews(ShopUser):
    """Shoppers, one after the other: each comes by for some page views, then another one arrives."""

    abstract = True
    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """The first shopper arrives."""
        super().on_start()
        self.shopper = self._next_shopper()

    @task
    def view_page(self) -> None:
        """One page view, from its trigger to its feedback."""
        if self.shopper.views >= VIEWS_OF_A_SHOPPER:
            self.shopper = self._next_shopper()
        shopper = self.shopper
        body = shopper.open_page(now_ms())
        request_id = str(body["request_id"])
        began_s = time.monotonic()
        triggered = self.trigger(body)
        gevent.sleep(OTHER_WORK_S)
        page = self.first_page(shopper.user_id, request_id, began_s, triggered=triggered)
        shown = page.items
        if page.next_cursor and shopper.wants_more():
            asked = {**self.asks_for(request_id), "cursor": page.next_cursor}
            shown = shown + self.look(shopper.user_id, asked, "retrieve next page", before=page).items
        self.interact(shopper.react(shown, request_id, now_ms()))

    def _next_shopper(self) -> Shopper:
        # Each worker counts for itself: its number keeps their shoppers apart.
        worker = getattr(self.environment.runner, "worker_index", 0)
        name = f"{self.run_name}-{f'w{worker}-' if worker else ''}{next(_shoppers)}"
        return Shopper(name, self.shop_front, Random(name))
