"""Where a Kafka cluster is and how one gets in; what kafka-python is told of it, and what may be shown.

Mains make it from settings.  Its repr holds no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from services.gateways.event_stream.kafka.sockets import SCHEME

CLIENT_ID = "rankgr"


@dataclass(frozen=True, slots=True)
class Sasl:
    """Name and password; `mechanism` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """Without `ca` the system's authorities count; `cert` and `key` are the client's own, where brokers want them."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """`bootstrap`: host:port, the first brokers to ask.  `prefix` begins the names of topics and groups there."""

    bootstrap: tuple[str, ...]
    sasl: Sasl | None = None
    tls: Tls | None = None
    prefix: str = ""

    def named(self, name: str) -> str:
        """What a topic or a group of ours is called on this cluster."""
        return self.prefix + name

    @property
    def shown(self) -> str:
        """What an error may say."""
        return "kafka at " + ",".join(self.bootstrap)

    def configs(self) -> dict[str, object]:
        """The same in kafka-python's words."""
        told: dict[str, object] = {
            "bootstrap_servers": list(self.bootstrap),
            "client_id": CLIENT_ID,
            "security_protocol": self._protocol(),
            # A broker that comes back is found within about a second.
            "reconnect_backoff_ms": 50,
            "reconnect_backoff_max_ms": 1000,
            "proxy_url": f"{SCHEME}://",
        }
        if self.sasl is not None:
            told |= {
                "sasl_mechanism": self.sasl.mechanism,
                "sasl_plain_username": self.sasl.username,
                "sasl_plain_password": self.sasl.password,
            }
        if self.tls is not None:
            told |= {
                "ssl_check_hostname": self.tls.check_hostname,
                "ssl_cafile": _text(self.tls.ca),
                "ssl_certfile": _text(self.tls.cert),
                "ssl_keyfile": _text(self.tls.key),
                "ssl_password": self.tls.key_password,
            }
        return told

    def _protocol(self) -> str:
        match self.sasl is not None, self.tls is not None:
            case True, True:
                return "SASL_SSL"
            case True, False:
                return "SASL_PLAINTEXT"
            case False, True:
                return "SSL"
            case _:
                return "PLAINTEXT"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
