"""Clients of the redis library for one server, behind Sentinels, or for a cluster.

Adapters call `connect_redis` and wrap each call in `failing_as`.
"""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from services.gateways.redis_link.times import RedisTimes
from services.runtime.redis_url import Cluster, OneServer, Sentinels, Tls, parse_redis_url


def connect_redis(url: str, times: RedisTimes) -> Redis:
    """A client that connects on its first call, and again after every failure.

    For a cluster it is a RedisCluster, which has the same commands: use it for keys of one slot at a time.
    """
    match parse_redis_url(url):
        case OneServer() as server:
            return _one_server(server, times)
        case Sentinels() as sentinels:
            return _behind_sentinels(sentinels, times)
        case Cluster() as cluster:
            return _cluster(cluster, times)


def _one_server(server: OneServer, times: RedisTimes) -> Redis:
    kind: type[Any]
    where: dict[str, Any]
    if isinstance(server.at, str):
        kind, where = UnixDomainSocketConnection, {"path": server.at}
    else:
        kind, where = (SSLConnection if server.tls else Connection), {"host": server.at.host, "port": server.at.port}
    pool: BlockingConnectionPool = BlockingConnectionPool(
        max_connections=times.connections,
        timeout=times.free_connection_s,
        connection_class=kind,
        db=server.database,
        username=server.login.username,
        password=server.login.password,
        **where,
        **(_tls(server.tls) if server.tls else {}),
        **_times(times),
    )
    return Redis.from_pool(pool)


def _behind_sentinels(place: Sentinels, times: RedisTimes) -> Redis:
    return cast(Redis, _sentinel(place, times).master_for(place.name, connection_pool_class=_PoolWithSentinels))


class _PoolWithSentinels(SentinelConnectionPool):
    """Closes the connections to the Sentinels, which the library leaves open, together with those to the primary."""

    async def aclose(self) -> None:
        await super().aclose()
        for one in self.sentinel_manager.sentinels:
            await one.aclose()


def _sentinel(place: Sentinels, times: RedisTimes) -> Sentinel:
    """Whom to ask who the primary is."""
    tls = {"ssl": True, **_tls(place.tls)} if place.tls else {}
    known = {"username": place.sentinel_login.username, "password": place.sentinel_login.password}
    return Sentinel(  # type: ignore[no-untyped-call]
        [(one.host, one.port) for one in place.at],
        sentinel_kwargs={**known, **tls, **_times(times)},
        username=place.login.username,
        password=place.login.password,
        db=place.database,
        max_connections=times.connections,
        **tls,
        **_times(times),
    )


def _cluster(place: Cluster, times: RedisTimes) -> Redis:
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(one.host, one.port) for one in place.at],
        username=place.login.username,
        password=place.login.password,
        max_connections=times.connections,
        # A primary that is gone takes its own slots with it, not those of the others.
        require_full_coverage=False,
        **({"ssl": True, **_tls(place.tls)} if place.tls else {}),
        **_times(times),
    )
    return cast(Redis, cluster)


def _tls(tls: Tls) -> dict[str, Any]:
    return {
        "ssl_ca_certs": tls.ca_file,
        "ssl_certfile": tls.cert_file,
        "ssl_keyfile": tls.key_file,
        "ssl_cert_reqs": "required" if tls.verify else "none",
        "ssl_check_hostname": tls.verify,
    }


def _times(times: RedisTimes) -> dict[str, Any]:
    return {
        "socket_connect_timeout": times.connect_s,
        "socket_timeout": times.answer_s,
        # A connection that the server closed while it lay idle is found out by the first call: that one is
        # sent again, once.  A timeout never is: the server may be at it still.
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        # The second protocol version needs no handshake, and every server and proxy speaks it.
        "protocol": 2,
    }
