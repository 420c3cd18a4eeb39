"""Nodes and dialers for what stands behind a Redis URL.  MuxRedis and Subscription are put together by it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from services.gateways.redis_link.breaker import Breaker
from services.gateways.redis_link.dialer import Dialer, LinkTimes, greeting_of
from services.gateways.redis_link.mux_node import LinkWatch, MuxNode, Unwatched
from services.gateways.redis_link.times import RedisTimes
from services.gateways.redis_link.whereabouts import Always, InTurn, PrimaryBySentinels, Where
from services.runtime.redis_url import Cluster, OneServer, RedisPlace, Sentinels

# Of the time for a connection, so that a Sentinel that is silent leaves some to ask another.
_SENTINEL_S = 0.4


@dataclass(frozen=True, slots=True)
class NodeMaker:
    """What all nodes of one place have in common."""

    place: RedisPlace
    times: RedisTimes
    watch: LinkWatch
    random: Random

    def node(self, where: Where) -> MuxNode:
        """A node that connects to `where` on its first call."""
        place = str(where.at) if isinstance(where, Always) else str(self.place)
        return MuxNode(self.dialer(where), Breaker(self.random), self.watch, place)

    def dialer(self, where: Where) -> Dialer:
        """Connects to `where` as one does at this place."""
        place = self.place
        database = 0 if isinstance(place, Cluster) else place.database
        greeting = greeting_of(place.login, database, primary=isinstance(place, Sentinels))
        tls = place.tls.context() if place.tls else None
        return Dialer(where, greeting, tls, LinkTimes(self.times.connect_s, self.times.answer_s))

    def where(self) -> Where:
        """The server, the primary, or any node of the cluster that the URL names."""
        match self.place:
            case OneServer(at=at):
                return Always(at)
            case Sentinels(name=name) as place:
                return PrimaryBySentinels(name, self._sentinels(place))
            case Cluster(at=nodes):
                return InTurn(nodes)

    def _sentinels(self, place: Sentinels) -> tuple[MuxNode, ...]:
        greeting = greeting_of(place.sentinel_login, 0, primary=False)
        tls = place.tls.context() if place.tls else None
        times = LinkTimes(_SENTINEL_S * self.times.connect_s, _SENTINEL_S * self.times.answer_s)
        return tuple(
            MuxNode(Dialer(Always(at), greeting, tls, times), Breaker(self.random), Unwatched(), f"Sentinel {at}")
            for at in place.at
        )
