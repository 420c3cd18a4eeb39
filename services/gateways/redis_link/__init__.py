"""How every Redis adapter connects and fails: short timeouts, at most one retry, one server or many.

`clients` makes clients of the redis library; `mux` is our own connection for the paths that count every microsecond.
Neither ever lets an error of the library out: adapters raise StoreDown or StreamDown.
"""

from services.gateways.redis_link.clients import RedisTimes, connect_redis
from services.gateways.redis_link.failing import REDIS_ERRORS, failing_as, place_of

__all__ = ["REDIS_ERRORS", "RedisTimes", "connect_redis", "failing_as", "place_of"]
