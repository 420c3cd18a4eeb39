"""Which replica a user goes to: the one whose hash with the user is the highest, then the next highest.

Used by `replicas`.  Every process that knows the same names computes the same order, without talking to anybody.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from contracts.ids import UserId


def replicas_of(user: UserId, names: Collection[str]) -> tuple[str, ...]:
    """All names, the user's own first.

    A name that goes moves nobody but its own users, each to that user's next; one that comes takes its share
    (one part in the number of names) and moves nobody else.
    """
    return tuple(sorted(names, key=lambda name: _weight(user, name), reverse=True))


def _weight(user: UserId, name: str) -> bytes:
    # NUL ends the name: it is part of no name and of no user id.
    return blake2b(f"{name}\0{user}".encode(), digest_size=8).digest()
