"""Who may ask for what: API keys, their scopes, and the one check that every route makes.

`Gate` asks it for FastAPI's routes, raw ASGI routes call `Access.admit` themselves.  A key is never kept: only the
SHA-256 of its secret is, which is enough for 256 random bits.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NewType, Protocol

from contracts.errors import Forbidden, Unauthorized

KeyId = NewType("KeyId", str)
"""The part of a key that may be shown and logged."""

NOBODY = KeyId("")
"""Who asks where no keys are set up."""

PREFIX = "rgk"
_LONGEST_TOKEN = 256
# Compared with where the id is unknown, so that the time tells nothing about which ids exist.
_NO_DIGEST = bytes(32)


class Scope(StrEnum):
    """What a key may be used for; a key has one or several, and none includes another."""

    TRIGGER = "trigger"
    RETRIEVE = "retrieve"
    ENGINE = "engine"
    METRICS = "metrics"
    ADMIN = "admin"


ANY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept; `digest` is the SHA-256 of its secret part."""

    key_id: KeyId
    scopes: frozenset[Scope]
    digest: bytes


class Keys(Protocol):
    """The keys that are valid now."""

    def current(self) -> Mapping[str, ApiKey]:
        """By id.  Called for every request: it must not block."""
        ...


def write_token(key_id: KeyId, secret: str) -> str:
    """The key as its holder sends it."""
    return f"{PREFIX}_{key_id}_{secret}"


def digest_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Access:
    """The door of one process.  Without `keys` it stands open, which settings allow on loopback only."""

    keys: Keys | None = None

    def admit(self, headers: Iterable[tuple[bytes, bytes]], scopes: frozenset[Scope]) -> KeyId:
        """Whose request this is, by its raw ASGI headers (names in lower case).

        Raises Unauthorized without a valid key, Forbidden where the key has none of `scopes`.
        """
        if self.keys is None:
            return NOBODY
        key = self._holder(_bearer(headers))
        if scopes.isdisjoint(key.scopes):
            raise Forbidden(f"this key lacks the scope: {' or '.join(sorted(scopes))}")
        return key.key_id

    def _holder(self, token: str) -> ApiKey:
        assert self.keys is not None
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self.keys.current().get(key_id)
        same = hmac.compare_digest(digest_of(secret), key.digest if key else _NO_DIGEST)
        if key is None or not same or prefix != PREFIX:
            raise Unauthorized("this API key is not known here")
        return key


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            if scheme.lower() != b"bearer" or len(token) > _LONGEST_TOKEN:
                break
            return token.strip().decode("latin-1")
    raise Unauthorized("an API key is needed: send the header Authorization: Bearer KEY")
