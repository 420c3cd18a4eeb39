"""Containers ended one by one, as a crash ends them, while somebody asks for lists all the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.deploy.compose.containers import Container, NotInTime, Stack, wait_for
from tests.deploy.compose.shop import Shop, pulse
from tests.deploy.compose.transcript import Transcript

RECOVERED_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Kills:
    """`broker_forgets`: the broker keeps nothing on a disk, as the tests' stand-in: its topics are made again."""

    stack: Stack
    shop: Shop
    transcript: Transcript
    helper_image: str
    broker_forgets: bool
    request_ids: Iterator[str]

    def __call__(self, services: list[str]) -> None:
        self.transcript.section("Every service killed")
        self.transcript.say(
            "`kill -9` of each container's process. Then: the time until it is healthy again, the time until a new "
            "trigger's list is fresh again, and what retrieve answered meanwhile to a user who asks ten times a second."
        )
        self.transcript.row("killed", "healthy again", "fresh again", "retrieve meanwhile")
        self.transcript.row("---", "---:", "---:", "---")
        lost = [self._kill(service) for service in services]
        self.transcript.say("")
        for service, (recovered, answers) in zip(services, lost, strict=True):
            self.transcript.check(f"{service} recovered by itself", recovered)
            if service != "retrieval":
                self.transcript.check(f"retrieve went on without {service}", answers == 0, f"{answers} lost")

    def _kill(self, service: str) -> tuple[bool, int]:
        killed = self.stack.containers(service)[0]
        with pulse(self.shop, "ada") as told:
            began_s = time.monotonic()
            self.stack.kill(killed, self.helper_image)
            try:
                self._back(killed)
                if service == "kafka" and self.broker_forgets:
                    self.stack.run("run", "--rm", "-T", "--no-deps", "topics")
                healthy_s = time.monotonic() - began_s
                wait_for(self._fresh, RECOVERED_WITHIN_S)
                fresh_s = time.monotonic() - began_s
                self.stack.healthy(service, RECOVERED_WITHIN_S)
            except NotInTime as error:
                self.transcript.row(f"`{service}`", error, "", told)
                return False, told.lost
        self.transcript.row(f"`{service}`", f"{healthy_s:.1f} s", f"{fresh_s:.1f} s", told)
        return True, told.lost

    def _back(self, killed: Container) -> None:
        def is_back() -> bool:
            now = self.stack.inspect(killed.id)
            return now.restarts > killed.restarts and now.running and now.health in ("healthy", "none")

        wait_for(is_back, RECOVERED_WITHIN_S, lambda: self.stack.inspect(killed.id))

    def _fresh(self) -> bool:
        request = next(self.request_ids)
        # With what she has just clicked: where the cache was killed her history is gone with it.
        status, _ = self.shop.trigger("ada", request, self.shop.retrieve("ada").items[:2])
        if status != 202:
            return False
        page = self.shop.retrieve("ada", 5, request, 2000)
        return page.outcome == "fresh" and page.request == request
