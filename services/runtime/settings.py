"""Settings come from the environment, once, as frozen typed objects; only main files call `read_settings`.

A process declares `class TriggerSettings(ProcessSettings, StreamSettings)` with its own `env_prefix`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.redis_url import parse_redis_url

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


def _redis_url(url: str) -> str:
    tls = parse_redis_url(url).tls
    try:
        if tls is not None:
            tls.context()
    except OSError as error:
        # An SSLError is one too: what is there is no certificate, or no key to it.
        raise ValueError(f"names a TLS file that cannot be used: {error.strerror or error}") from None
    return url


def url_parts(url: str) -> SplitResult:
    """The parts of a URL whose port is one; ValueError without a word of the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: host or port cannot be read") from None
    return parts


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _brokers(text: str) -> str:
    for broker in text.split(",") if text.strip() else ():
        host, _, port = broker.strip().rpartition(":")
        if not _HOST.fullmatch(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("must be host:port, or several, with commas between them")
    return text


_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")

Brokers = Annotated[str, AfterValidator(_brokers)]
KafkaPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100)]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
LogLevel = Literal["debug", "info", "warning", "error"]


class SharedSettings(BaseSettings):
    """How every settings class behaves: frozen, empty variables count as absent."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, validate_by_name=True)


class ProcessSettings(SharedSettings):
    """Where a process listens, who may ask it, and how much it says.  Every process sets its own default port."""

    host: str = "127.0.0.1"
    port: int
    log_level: LogLevel = "info"
    drain_s: float = Field(default=1.0, ge=0, le=300, allow_inf_nan=False, validation_alias="RANKGR_DRAIN_S")
    api_keys_file: Path | None = Field(default=None, validation_alias="RANKGR_API_KEYS_FILE")
    allow_no_keys: bool = Field(default=False, validation_alias="RANKGR_ALLOW_NO_KEYS")
    traces: Literal["none", "log", "otlp"] = Field(default="none", validation_alias="RANKGR_TRACES")
    traces_share: float = Field(default=0.01, ge=0, le=1, validation_alias="RANKGR_TRACES_SHARE")

    @field_validator("port")
    @classmethod
    def _is_a_port(cls, port: int) -> int:
        # A validator, not a constraint of the field: that would be lost where a process sets its default.
        if not 0 <= port <= 65535:
            raise ValueError("must lie between 0 and 65535")
        return port

    @model_validator(mode="after")
    def _strangers_need_keys(self) -> Self:
        if self.api_keys_file is None and not self.allow_no_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} can be reached by others: set RANKGR_API_KEYS_FILE (see `rankgr keys new`), "
                "or RANKGR_ALLOW_NO_KEYS=true where the network itself keeps strangers out"
            )
        return self


class ClientSettings(SharedSettings):
    """The key that a process shows when it asks another one of ours."""

    api_key: SecretStr | None = Field(default=None, validation_alias="RANKGR_API_KEY")

    @property
    def key_header(self) -> dict[str, str]:
        """The header that shows it; none where there is no key."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}


class StoreSettings(SharedSettings):
    """Where candidates, histories and trigger marks are kept."""

    redis_url: RedisUrl = Field(default=DEFAULT_REDIS_URL, validation_alias="RANKGR_REDIS_URL", repr=False)


class KafkaSettings(SharedSettings):
    """Where Kafka is, and how one gets in; without `kafka_bootstrap` the events travel on Redis Streams."""

    kafka_bootstrap: Brokers = Field(default="", validation_alias="RANKGR_KAFKA_BOOTSTRAP")
    kafka_prefix: KafkaPrefix = Field(default="", validation_alias="RANKGR_KAFKA_PREFIX")
    kafka_sasl_mechanism: SaslMechanism = Field(default="SCRAM-SHA-512", validation_alias="RANKGR_KAFKA_SASL_MECHANISM")
    kafka_username: str | None = Field(default=None, validation_alias="RANKGR_KAFKA_USERNAME")
    kafka_password: SecretStr | None = Field(default=None, validation_alias="RANKGR_KAFKA_PASSWORD")
    kafka_tls: bool = Field(default=False, validation_alias="RANKGR_KAFKA_TLS")
    kafka_ca_file: Path | None = Field(default=None, validation_alias="RANKGR_KAFKA_CA_FILE")
    kafka_cert_file: Path | None = Field(default=None, validation_alias="RANKGR_KAFKA_CERT_FILE")
    kafka_key_file: Path | None = Field(default=None, validation_alias="RANKGR_KAFKA_KEY_FILE")
    kafka_key_password: SecretStr | None = Field(default=None, validation_alias="RANKGR_KAFKA_KEY_PASSWORD")
    kafka_check_hostname: bool = Field(default=True, validation_alias="RANKGR_KAFKA_CHECK_HOSTNAME")
    kafka_publish_within_ms: PositiveInt = Field(default=200, validation_alias="RANKGR_KAFKA_PUBLISH_WITHIN_MS")
    kafka_max_in_flight: PositiveInt = Field(default=10_000, validation_alias="RANKGR_KAFKA_MAX_IN_FLIGHT")
    kafka_max_in_flight_mb: PositiveInt = Field(default=64, validation_alias="RANKGR_KAFKA_MAX_IN_FLIGHT_MB")
    kafka_session_timeout_s: float = Field(
        default=10.0, ge=0.5, le=300, validation_alias="RANKGR_KAFKA_SESSION_TIMEOUT_S"
    )
    kafka_fetch_wait_ms: int = Field(default=50, ge=1, le=5000, validation_alias="RANKGR_KAFKA_FETCH_WAIT_MS")

    @property
    def kafka_brokers(self) -> tuple[str, ...]:
        """The first brokers to ask; none where there is no Kafka."""
        return tuple(broker.strip() for broker in self.kafka_bootstrap.split(",") if broker.strip())

    @model_validator(mode="after")
    def _kafka_s_parts_belong_together(self) -> Self:
        if (self.kafka_username is None) != (self.kafka_password is None):
            raise ValueError("RANKGR_KAFKA_USERNAME and RANKGR_KAFKA_PASSWORD go together")
        if (self.kafka_cert_file is None) != (self.kafka_key_file is None):
            raise ValueError("RANKGR_KAFKA_CERT_FILE and RANKGR_KAFKA_KEY_FILE go together")
        files = {
            "RANKGR_KAFKA_CA_FILE": self.kafka_ca_file,
            "RANKGR_KAFKA_CERT_FILE": self.kafka_cert_file,
            "RANKGR_KAFKA_KEY_FILE": self.kafka_key_file,
        }
        for name, file in files.items():
            if file is not None and not self.kafka_tls:
                raise ValueError(f"{name} means nothing without RANKGR_KAFKA_TLS=true")
            if file is not None and not os.access(file, os.R_OK):
                raise ValueError(f"{name}: {file} cannot be read")
        return self


class StreamSettings(StoreSettings, KafkaSettings):
    """Where events travel: Kafka, or Redis Streams on the store's server where no other is named."""

    stream_redis_url: RedisUrl | None = Field(default=None, validation_alias="RANKGR_STREAM_REDIS_URL", repr=False)

    @property
    def stream_url(self) -> str:
        """The event stream's server."""
        return self.stream_redis_url or self.redis_url


class BundleStoreSettings(SharedSettings):
    """Where published bundles are kept; empty: nowhere."""

    bundle_store: str = Field(default="", validation_alias="RANKGR_BUNDLE_STORE")


class BundleSettings(BundleStoreSettings):
    """Which model bundle is served: one directory for good, or what a store's channel points to."""

    bundle: Path | None = Field(default=None, validation_alias="RANKGR_BUNDLE")
    bundle_poll_s: float = Field(
        default=1.0, ge=0.05, le=3600, allow_inf_nan=False, validation_alias="RANKGR_BUNDLE_POLL_S"
    )
    bundle_staging: Path | None = Field(default=None, validation_alias="RANKGR_BUNDLE_STAGING")

    @model_validator(mode="after")
    def _some_bundle(self) -> Self:
        if self.bundle is None and not self.bundle_store:
            raise ValueError("RANKGR_BUNDLE: must be set, or RANKGR_BUNDLE_STORE")
        return self


Settings = TypeVar("Settings", bound=BaseSettings)

# Shared variables that belong together: whoever reads one of a family finds a slip in any of them.
_FAMILIES = ("RANKGR_KAFKA_",)


def variables_of(kind: type[BaseSettings]) -> dict[str, str]:
    """Field name -> the environment variable that sets it."""
    prefix = kind.model_config.get("env_prefix", "")
    return {name: _variable(prefix, name, field) for name, field in kind.model_fields.items()}


def read_settings(kind: type[Settings], given: Mapping[str, object] | None = None) -> Settings:
    """Read the environment once; SystemExit with one line for a bad value or an unknown prefixed variable.

    `given` fields, by name, go before the environment; those that `kind` does not have are left out.
    """
    prefix = kind.model_config.get("env_prefix", "").upper()
    variables = variables_of(kind)
    known = set(variables.values())
    present = sorted(name.upper() for name in os.environ)
    prefixes = tuple(one for one in (prefix, *_FAMILIES) if one and any(name.startswith(one) for name in known))
    if unknown := [name for name in present if name.startswith(prefixes) and name not in known]:
        raise SystemExit(f"rankgr: unknown settings: {', '.join(unknown)}")
    try:
        # Any: what pydantic-settings itself types its fields with; each is validated here.
        fields: dict[str, Any] = {name: value for name, value in (given or {}).items() if name in kind.model_fields}
        return kind(**fields)
    except ValidationError as error:
        raise SystemExit("rankgr: bad settings: " + "; ".join(_complaints(error, variables))) from None


def _variable(prefix: str, name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = str(alias.choices[0])
    return (alias if isinstance(alias, str) else prefix + name).upper()


def _complaints(error: ValidationError, variables: dict[str, str]) -> list[str]:
    """One phrase per bad variable; never its value, which may hold a password."""
    complaints = []
    for detail in error.errors(include_input=False, include_url=False):
        says = detail["msg"].removeprefix("Value error, ")
        # What several variables say together has no place of its own.
        place = str(detail["loc"][0]) if detail["loc"] else ""
        complaints.append(f"{variables.get(place, place)}: {says}" if place else says)
    return complaints
