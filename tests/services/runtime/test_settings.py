"""Settings: typed, frozen, from the environment; a wrong or unknown variable is one line that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import (
    BundleSettings,
    KafkaSettings,
    ProcessSettings,
    StreamSettings,
    read_settings,
    variables_of,
)


class ProbeSettings(ProcessSettings, StreamSettings, BundleSettings):
    """A process that needs everything."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_PROBE_")

    port: int = 8199
    max_age_s: float = 900.0


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [one for one in os.environ if one.startswith("RANKGR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RANKGR_BUNDLE", "/somewhere")
    return monkeypatch


def refusal() -> str:
    with pytest.raises(SystemExit) as caught:
        read_settings(ProbeSettings)
    assert isinstance(caught.value.code, str), "a string is printed to stderr, and the exit code is 1"
    assert "\n" not in caught.value.code
    return caught.value.code


def test_defaults_stand_where_nothing_is_set() -> None:
    settings = read_settings(ProbeSettings)
    assert (settings.host, settings.port, settings.log_level) == ("127.0.0.1", 8199, "info")
    assert settings.redis_url == settings.stream_url == "redis://127.0.0.1:6379/0"
    assert settings.bundle == Path("/somewhere")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_on_loopback_no_keys_are_needed(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("RANKGR_PROBE_HOST", host)
    assert read_settings(ProbeSettings).api_keys_file is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "shop.example", ""])
def test_beyond_loopback_keys_are_needed_unless_told_otherwise(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("RANKGR_PROBE_HOST", host)
    if host:
        assert "RANKGR_API_KEYS_FILE" in refusal()
        environment.setenv("RANKGR_ALLOW_NO_KEYS", "true")
        assert read_settings(ProbeSettings).host == host
        environment.setenv("RANKGR_ALLOW_NO_KEYS", "false")
    environment.setenv("RANKGR_API_KEYS_FILE", "/run/secrets/keys.json")
    assert read_settings(ProbeSettings).api_keys_file == Path("/run/secrets/keys.json")


def test_without_brokers_there_is_no_kafka() -> None:
    assert read_settings(ProbeSettings).kafka_brokers == ()


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("kafka:9092", ("kafka:9092",)),
        ("a.example:1, b-2:65535 ", ("a.example:1", "b-2:65535")),
        ("[::1]:9092", ("[::1]:9092",)),
    ],
)
def test_brokers_are_hosts_with_ports(environment: pytest.MonkeyPatch, text: str, brokers: tuple[str, ...]) -> None:
    environment.setenv("RANKGR_KAFKA_BOOTSTRAP", text)
    assert read_settings(ProbeSettings).kafka_brokers == brokers


@pytest.mark.parametrize(
    "told",
    [
        {"RANKGR_KAFKA_BOOTSTRAP": "kafka"},
        {"RANKGR_KAFKA_BOOTSTRAP": "kafka:0"},
        {"RANKGR_KAFKA_BOOTSTRAP": "kafka:9092,,b:1"},
        {"RANKGR_KAFKA_BOOTSTRAP": "kafka://kafka:9092"},
        {"RANKGR_KAFKA_BOOTSTRAP": "user:secret@kafka:9092"},
        {"RANKGR_KAFKA_PREFIX": "a b"},
        {"RANKGR_KAFKA_USERNAME": "me"},
        {"RANKGR_KAFKA_PASSWORD": "secret"},
        {"RANKGR_KAFKA_SASL_MECHANISM": "GSSAPI"},
        {"RANKGR_KAFKA_TLS": "true", "RANKGR_KAFKA_CA_FILE": "/no/such/file"},
        {"RANKGR_KAFKA_CA_FILE": "/dev/null"},
        {"RANKGR_KAFKA_TLS": "true", "RANKGR_KAFKA_CERT_FILE": "/dev/null"},
        {"RANKGR_KAFKA_MAX_IN_FLIGHT": "0"},
        {"RANKGR_KAFKA_BOOTSTRP": "kafka:9092"},
    ],
    ids=lambda told: ",".join(told),
)
def test_a_slip_about_kafka_is_one_line_with_its_name_and_without_a_secret(
    environment: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    for name, value in told.items():
        environment.setenv(name, value)
    line = refusal()
    assert any(name in line for name in told)
    assert "secret" not in line


def test_secrets_about_kafka_are_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RANKGR_KAFKA_USERNAME", "me")
    environment.setenv("RANKGR_KAFKA_PASSWORD", "hunter2")
    assert "hunter2" not in repr(read_settings(ProbeSettings))


def test_the_environment_sets_own_and_shared_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RANKGR_PROBE_PORT", "1234")
    environment.setenv("RANKGR_PROBE_MAX_AGE_S", "1.5")
    environment.setenv("RANKGR_REDIS_URL", "rediss://:secret@store/1")
    environment.setenv("RANKGR_STREAM_REDIS_URL", "unix:///run/stream.sock")
    settings = read_settings(ProbeSettings)
    assert (settings.port, settings.max_age_s) == (1234, 1.5)
    assert (settings.redis_url, settings.stream_url) == (
        "rediss://:secret@store/1",
        "unix:///run/stream.sock",
    )
    assert "secret" not in repr(settings)


def test_an_empty_variable_counts_as_absent(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RANKGR_PROBE_PORT", "")
    environment.setenv("RANKGR_STREAM_REDIS_URL", "")
    assert read_settings(ProbeSettings).port == 8199


def test_an_unknown_variable_of_the_process_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RANKGR_PROBE_PROT", "1")
    assert refusal() == "rankgr: unknown settings: RANKGR_PROBE_PROT"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RANKGR_PROBE_PORT", "eighty"),
        ("RANKGR_PROBE_PORT", "70000"),
        ("RANKGR_PROBE_LOG_LEVEL", "loud"),
        ("RANKGR_REDIS_URL", "http://:hunter2@host"),
        ("RANKGR_REDIS_URL", "redis://:hunter2@host:port/0"),
        ("RANKGR_REDIS_URL", "redis://:hunter2@[host/0"),
        ("RANKGR_STREAM_REDIS_URL", "redis://host:6379/first"),
    ],
)
def test_a_bad_value_is_named_and_never_quoted(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    told = refusal()
    assert told.startswith("rankgr: bad settings: ")
    assert name in told
    assert value not in told
    assert "hunter2" not in told


def test_a_password_that_breaks_its_url_is_not_quoted_as_a_port(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RANKGR_REDIS_URL", "redis://:hun/ter2@host:6379/0")
    told = refusal()
    assert "RANKGR_REDIS_URL" in told
    assert "hun" not in told


def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("RANKGR_BUNDLE")
    assert "RANKGR_BUNDLE: must be set, or RANKGR_BUNDLE_STORE" in refusal()


def test_settings_can_be_given_by_name_and_are_frozen() -> None:
    settings = ProbeSettings(port=1, redis_url="redis://store:1/0", bundle=Path("here"))
    assert settings.stream_url == "redis://store:1/0"
    with pytest.raises(ValidationError):
        settings.port = 2  # type: ignore[misc]


def test_every_field_has_a_variable() -> None:
    assert variables_of(ProbeSettings) == {
        "host": "RANKGR_PROBE_HOST",
        "port": "RANKGR_PROBE_PORT",
        "log_level": "RANKGR_PROBE_LOG_LEVEL",
        "api_keys_file": "RANKGR_API_KEYS_FILE",
        "allow_no_keys": "RANKGR_ALLOW_NO_KEYS",
        "drain_s": "RANKGR_DRAIN_S",
        "traces": "RANKGR_TRACES",
        "traces_share": "RANKGR_TRACES_SHARE",
        **{name: f"RANKGR_{name.upper()}" for name in KafkaSettings.model_fields},
        "redis_url": "RANKGR_REDIS_URL",
        "stream_redis_url": "RANKGR_STREAM_REDIS_URL",
        "bundle": "RANKGR_BUNDLE",
        "bundle_store": "RANKGR_BUNDLE_STORE",
        "bundle_poll_s": "RANKGR_BUNDLE_POLL_S",
        "bundle_staging": "RANKGR_BUNDLE_STAGING",
        "max_age_s": "RANKGR_PROBE_MAX_AGE_S",
    }


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no PEM"])
def test_a_redis_url_whose_tls_file_is_no_good_is_said_by_its_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    environment.setenv("RANKGR_REDIS_URL", f"rediss://:hunter2@host?ssl_ca_certs={file}")
    told = refusal()
    assert "RANKGR_REDIS_URL: names a TLS file that cannot be used" in told
    assert "hunter2" not in told
