"""Which broker leads each partition of a topic: learnt when first asked, learnt again when doubted or old.

The publisher owns one.  Asks one question per topic at a time, and goes on asking until there is an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kafka import errors as kafka_errors

from services.gateways.event_stream.kafka.link import FAILURES, KafkaLink

KNOWN_FOR_S = 60.0
RETRY_S = 0.05


@dataclass(slots=True)
class Leaders:
    """`changed` is called with a topic whose leaders were learnt anew."""

    link: KafkaLink
    changed: Callable[[str], None]
    last_failure: BaseException | None = field(default=None, init=False)
    _known: dict[str, tuple[int, ...]] = field(default_factory=dict, init=False)
    _old_at_s: dict[str, float] = field(default_factory=dict, init=False)
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)

    def of(self, topic: str, now_s: float) -> tuple[int, ...] | None:
        """The leader of each partition, -1 where there is none; None where nothing is known yet."""
        known = self._known.get(topic)
        if known is not None and self._old_at_s[topic] < now_s:
            self._ask(topic)
        return known

    async def learn(self, topic: str) -> tuple[int, ...]:
        """Wait until they are known.  Raises UnknownTopicOrPartitionError, and whatever else is final."""
        if topic not in self._known:
            await asyncio.shield(self._ask(topic))
        return self._known[topic]

    def doubt(self, topic: str) -> None:
        """A broker said that it does not lead, or did not answer: ask anew; what was known stands until then."""
        self._ask(topic)

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _ask(self, topic: str) -> asyncio.Task[None]:
        if topic not in self._asking:
            task = asyncio.ensure_future(self._until_known(topic))
            self._asking[topic] = task
            task.add_done_callback(lambda done: self._asked(topic, done))
        return self._asking[topic]

    def _asked(self, topic: str, task: asyncio.Task[None]) -> None:
        del self._asking[topic]
        if not task.cancelled():
            # Whoever waited for it has the error; where nobody did, the next one asks again.
            task.exception()

    async def _until_known(self, topic: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = (await self.link.leaders([topic]))[topic]
            except FAILURES as error:
                self.last_failure = error
                if not _passes(error):
                    raise
            else:
                if found:
                    self._known[topic] = found
                    self._old_at_s[topic] = loop.time() + (KNOWN_FOR_S if -1 not in found else RETRY_S)
                    self.changed(topic)
                    return
            await asyncio.sleep(RETRY_S)


def _passes(error: BaseException) -> bool:
    """Whether asking again may help.  A topic that is not there has to be made first: that is no matter of moments."""
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return False
    return not isinstance(error, kafka_errors.KafkaError) or error.retriable
