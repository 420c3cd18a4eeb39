"""Redis URLs: the one place that parses them.  One server, Sentinels that know the primary, or a cluster.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]                           one server
    unix://[[USER]:PASSWORD@]/PATH[?db=DATABASE]                               one server on this machine
    redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST...]/NAME[/DATABASE]   the primary that Sentinels call NAME
    redis+cluster://[[USER]:PASSWORD@]HOST[:PORT][,HOST...]                    a cluster; some of its nodes

`rediss` in place of `redis` speaks TLS.  Settings check a URL with `parse_redis_url`, gateways connect by what it
gives.  No complaint quotes the URL: it may hold a password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_DATABASE = re.compile(r"[0-9]{1,5}", re.ASCII)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\[\]:/?#@,]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are; without a password nobody asks."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection is made: the system's authorities, or those of a file."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """For asyncio.  OSError where a file cannot be read."""
        made = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            made.load_cert_chain(self.cert_file, self.key_file)
        return made


@dataclass(frozen=True, slots=True)
class OneServer:
    """A server at an address, or at the path of a socket."""

    at: Address | str
    database: int = 0
    login: Login = Login()
    tls: Tls | None = None

    def __str__(self) -> str:
        return str(self.at)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The primary that these Sentinels know under `name`."""

    at: tuple[Address, ...]
    name: str
    database: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.name} by {','.join(map(str, self.at))}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that some of its nodes tell about."""

    at: tuple[Address, ...]
    login: Login = Login()
    tls: Tls | None = None

    def __str__(self) -> str:
        return ",".join(map(str, self.at))


RedisPlace = OneServer | Sentinels | Cluster


def parse_redis_url(url: str) -> RedisPlace:
    """Where a URL leads.  ValueError with what is wrong about it."""
    parts = _parts(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme == "unix" and not kind:
        return _on_a_socket(parts)
    if scheme not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster"):
        raise ValueError(
            "must begin with redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// "
            "or rediss+cluster://"
        )
    options = _options(
        parts, _TLS_OPTIONS | ({"sentinel_username", "sentinel_password"} if kind == "sentinel" else set())
    )
    tls = _tls(options, scheme == "rediss")
    login, hosts = _authority(parts, SENTINEL_PORT if kind == "sentinel" else REDIS_PORT)
    path = parts.path.strip("/")
    if kind == "sentinel":
        name, _, database = path.partition("/")
        if not name:
            raise ValueError("must name the primary that the Sentinels know: redis+sentinel://HOST/NAME")
        sentinel_login = Login(options.get("sentinel_username"), options.get("sentinel_password"))
        return Sentinels(hosts, unquote(name), _database(database), login, sentinel_login, tls)
    if kind == "cluster":
        if path:
            raise ValueError("must not name a database: a cluster has one")
        return Cluster(hosts, login, tls)
    if len(hosts) > 1:
        raise ValueError("names several hosts: that is redis+sentinel:// or redis+cluster://")
    return OneServer(hosts[0], _database(path), login, tls)


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL: host or port cannot be read") from None


def _on_a_socket(parts: SplitResult) -> OneServer:
    options = _options(parts, frozenset({"db"}))
    if not parts.path:
        raise ValueError("must hold the path of a socket: unix:///run/redis.sock")
    login, _, _ = parts.netloc.rpartition("@")
    return OneServer(unquote(parts.path), _database(options.get("db", "")), _login(login))


def _authority(parts: SplitResult, port: int) -> tuple[Login, tuple[Address, ...]]:
    login, _, hosts = parts.netloc.rpartition("@")
    return _login(login), tuple(_address(one, port) for one in (hosts or "localhost").split(","))


def _login(text: str) -> Login:
    username, _, password = text.partition(":")
    return Login(unquote(username) or None, unquote(password) or None)


def _address(text: str, port: int) -> Address:
    found = _HOST.fullmatch(text)
    number = int(found["port"] or port) if found else 0
    if found is None or not 0 < number < 65536:
        raise ValueError("is not a URL: host or port cannot be read")
    host = unquote(found["six"] or found["name"])
    try:
        host.encode("idna")
    except UnicodeError:
        # Every look-up would fail with an error of its own kind: a label that is empty, or longer than 63 characters.
        raise ValueError("is not a URL: the host is no name that could be looked up") from None
    return Address(host, number)


def _database(text: str) -> int:
    # A client that is given something else would silently take database 0.
    if text and not _DATABASE.fullmatch(text):
        raise ValueError("must end in the number of a database, or in none")
    return int(text or 0)


def _options(parts: SplitResult, known: frozenset[str]) -> Mapping[str, str]:
    if parts.fragment:
        raise ValueError("is not a URL: a # in a password is written %23")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - known):
        raise ValueError(f"has options that are not known here: {', '.join(unknown)}")
    return options


def _tls(options: Mapping[str, str], wanted: bool) -> Tls | None:
    if not wanted:
        if used := sorted(_TLS_OPTIONS & set(options)):
            raise ValueError(f"has {', '.join(used)} but does not begin with rediss")
        return None
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in ("required", "none"):
        raise ValueError("has an ssl_cert_reqs that is neither required nor none")
    return Tls(
        options.get("ssl_ca_certs"), options.get("ssl_certfile"), options.get("ssl_keyfile"), requirement == "required"
    )
