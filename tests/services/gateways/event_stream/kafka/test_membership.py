"""A stay in a group that is over: whoever still asks gets an error of the connection.

Found where a broker was killed: a member was leaving while its lag was looked up, and a RuntimeError ended its loop.
"""

from __future__ import annotations

import pytest

from services.gateways.event_stream.kafka.membership import GroupTimes, Membership
from tests.kafka_broker import KafkaBroker, create_topics


async def test_whoever_asks_after_the_end_is_told_that_the_connection_is_gone() -> None:
    broker = KafkaBroker.start()
    try:
        create_topics(broker.bootstrap, ("triggers",))
        stay = await Membership.begin(broker.place, "triggers", "precompute", "a", GroupTimes())
        assert set(await stay.log_ends()) == {0, 1, 2, 3}
        await stay.end()
        for asking in (stay.log_ends(), stay.committed(frozenset({0})), stay.poll(paused=False)):
            with pytest.raises(ConnectionError, match="has ended"):
                await asking
    finally:
        broker.kill()
