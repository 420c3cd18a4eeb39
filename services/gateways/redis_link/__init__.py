"""How every Redis adapter connects and fails: short timeouts, at most one retry, one server or many.

`mux` is our own connection for the paths that count every microsecond, `subscription` hears what is published;
`clients` makes clients of the redis library for everything else, and `failing` takes its errors.  Nothing ever lets an
error of the library out: adapters raise StoreDown or StreamDown.

The library takes longer to import than all of ours together: only who asks through it imports `clients` and `failing`.
"""

from services.gateways.redis_link.place import place_of
from services.gateways.redis_link.times import RedisTimes

__all__ = ["RedisTimes", "place_of"]
