"""docker-compose.yml sets only what the processes read, publishes nothing beyond loopback, waits for what is there.

tests/deploy/compose runs it.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import BaseModel

from services.runtime.settings import ProcessSettings, StreamSettings, read_settings, variables_of

ROOT = Path(__file__).parents[2]
ENGINES = {"engine": "vllm-cpu", "engine-small": "small", "engine-gpu": "gpu"}
PROCESSES = {
    **{name: name for name in ("trigger", "history", "precompute", "retrieval", "samples", "trainer", "console")},
    **dict.fromkeys(ENGINES, "engine"),
}
ONE_SHOT = ("topics", "bundle", "engine-ready", "load")
VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
CACHE, STREAM, STORE = "RANKGR_REDIS_URL", "RANKGR_KAFKA_BOOTSTRAP", "RANKGR_BUNDLE_STORE"


class Build(BaseModel):
    context: str
    dockerfile: str
    target: str


class Health(BaseModel):
    test: list[str]


class Waits(BaseModel):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Service(BaseModel):
    """What these tests read of a service."""

    image: str
    build: Build | None = None
    command: list[str] | str = []
    profiles: list[str] = []
    user: str = ""
    scale: int = 1
    networks: dict[str, dict[str, list[str]]] = {}
    environment: dict[str, str | int] = {}
    ports: list[str] = []
    volumes: list[str] = []
    depends_on: dict[str, Waits] = {}
    healthcheck: Health | None = None
    restart: Literal["no", "unless-stopped"]
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []
    mem_limit: str
    cpus: float

    @property
    def one_shot(self) -> bool:
        return self.restart == "no"


class Compose(BaseModel):
    """The file, with every variable at its default."""

    services: dict[str, Service]
    volumes: dict[str, None]


# `<<` with several anchors is YAML's, read by yaml.safe_load as compose reads it.
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = Compose.model_validate(yaml.safe_load(VARIABLE.sub(lambda found: found[1], TEXT)))
OWN = {name: service for name, service in COMPOSE.services.items() if service.build}


def settings_of(service: str) -> type[ProcessSettings]:
    process = PROCESSES[service]
    here = vars(importlib.import_module(f"services.{process}.settings"))
    (kind,) = [
        one for one in here.values() if isinstance(one, type) and one.__module__.startswith(f"services.{process}")
    ]
    assert issubclass(kind, ProcessSettings)
    return kind


def settings_in_the_file(service: str, monkeypatch: pytest.MonkeyPatch) -> ProcessSettings:
    for name, value in COMPOSE.services[service].environment.items():
        monkeypatch.setenv(name, str(value))
    return read_settings(settings_of(service))


def unknown_variables(service: str, environment: Mapping[str, object]) -> set[str]:
    return set(environment) - set(variables_of(settings_of(service)).values())


def test_the_file_keeps_to_the_schema_of_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_services_are_those_that_these_tests_know() -> None:
    theirs = {"cache", "kafka", "prometheus", "grafana"}
    assert set(COMPOSE.services) == {*PROCESSES, *ONE_SHOT, *theirs}
    assert set(OWN) == set(COMPOSE.services) - theirs


@pytest.mark.parametrize("service", PROCESSES)
def test_every_variable_is_one_that_its_process_reads(service: str) -> None:
    assert not unknown_variables(service, COMPOSE.services[service].environment)


def test_a_slip_in_a_variable_is_found() -> None:
    assert unknown_variables("retrieval", {"RANKGR_RETRIEVAL_PROT": 1}) == {"RANKGR_RETRIEVAL_PROT"}


@pytest.mark.parametrize("service", PROCESSES)
def test_a_process_accepts_what_the_file_tells_it_and_is_asked_where_it_listens(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in_the_file(service, monkeypatch)
    told = COMPOSE.services[service]
    assert told.command == ["serve", PROCESSES[service]]
    assert settings.host == "0.0.0.0"
    assert told.healthcheck is not None
    assert told.healthcheck.test[-1] == str(settings.port)
    for published in told.ports:
        assert published.endswith(f":{settings.port}")


def test_the_command_that_makes_topics_knows_its_variables() -> None:
    assert set(COMPOSE.services["topics"].environment) <= set(variables_of(StreamSettings).values())


def test_no_other_service_is_told_a_setting() -> None:
    for name in set(COMPOSE.services) - {*PROCESSES, "topics"}:
        told = [variable for variable in COMPOSE.services[name].environment if variable.startswith("RANKGR_")]
        # The load test's key is locust's to send.
        assert not told or (name, told) == ("load", ["RANKGR_API_KEY"])


def test_every_address_is_that_of_a_service_which_is_waited_for() -> None:
    for name, service in COMPOSE.services.items():
        told = {key: str(value) for key, value in service.environment.items() if key.startswith("RANKGR_")}
        urls = re.findall(r"[a-z]+://[^\s,]+", ",".join(told.values()))
        hosts = [urlsplit(url).hostname for url in urls]
        hosts += [broker.rpartition(":")[0] for broker in told.get(STREAM, "").split(",") if broker]
        for host in hosts:
            # Which of the engines it is, the profile says: `engine-ready` is waited for instead.
            assert ("engine-ready" if host == "engine" else host) in _awaited(name), f"{name}: {host}"


def test_whoever_travels_by_kafka_waits_until_its_topics_are_there() -> None:
    travellers = {name for name in PROCESSES if STREAM in COMPOSE.services[name].environment}
    assert travellers == {"trigger", "history", "precompute", "samples", "trainer", "console"}
    for name in travellers:
        assert "topics" in _awaited(name)


def test_whoever_asks_the_cache_waits_for_it_and_nobody_else() -> None:
    """Samples and trainer have no use for it: where there is Kafka no event travels by Redis."""
    told = {name for name in PROCESSES if CACHE in COMPOSE.services[name].environment}
    assert told == {"trigger", "history", "precompute", "retrieval", "console"}
    assert {name for name in PROCESSES if "cache" in COMPOSE.services[name].depends_on} <= told
    assert all("cache" in _awaited(name) for name in told)


def test_whoever_serves_or_makes_models_follows_the_store_and_waits_until_there_is_one() -> None:
    followers = {name for name in PROCESSES if STORE in COMPOSE.services[name].environment}
    assert followers == {"precompute", "retrieval", "trainer", "console", *ENGINES}
    for name in followers:
        assert "bundle" in _awaited(name)
        assert any(volume.startswith("bundles:/bundles") for volume in COMPOSE.services[name].volumes)


def test_there_is_one_engine_under_each_profile_and_one_name_for_all_of_them() -> None:
    for name, profile in ENGINES.items():
        service = COMPOSE.services[name]
        assert service.profiles == [profile]
        assert name == "engine" or service.networks["default"]["aliases"] == ["engine"]
    others = [name for name, service in COMPOSE.services.items() if service.profiles and name not in ENGINES]
    assert others == ["load"]


def test_a_plain_up_starts_the_engine_that_the_file_of_variables_names() -> None:
    lines = [line for line in (ROOT / ".env").read_text().splitlines() if line[:1] not in ("", "#")]
    assert lines == ["COMPOSE_PROFILES=vllm-cpu"]


def test_nobody_waits_for_a_service_that_a_profile_may_leave_out() -> None:
    for service in COMPOSE.services.values():
        assert not [name for name in service.depends_on if COMPOSE.services[name].profiles]


def test_precompute_runs_twice() -> None:
    assert COMPOSE.services["precompute"].scale == 2


def test_the_broker_tells_its_clients_the_name_that_they_use_and_makes_no_topic_by_accident() -> None:
    told = COMPOSE.services["kafka"].environment
    assert str(told["KAFKA_ADVERTISED_LISTENERS"]).endswith("://kafka:9092")
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "kafka:/var/lib/kafka/data" in COMPOSE.services["kafka"].volumes
    assert told["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"


def _awaited(name: str) -> set[str]:
    """Services that are up before this one starts."""
    direct = set(COMPOSE.services[name].depends_on)
    return direct.union(*(_awaited(one) for one in direct))


def test_whoever_waits_waits_for_something_that_can_come() -> None:
    for service in COMPOSE.services.values():
        for name, waits in service.depends_on.items():
            awaited = COMPOSE.services[name]
            if waits.condition == "service_completed_successfully":
                assert awaited.one_shot
            else:
                assert awaited.healthcheck is not None


def test_every_service_has_a_health_check_and_starts_again_or_ends_by_itself() -> None:
    for name, service in COMPOSE.services.items():
        assert service.one_shot == (name in ONE_SHOT)
        assert service.one_shot or service.healthcheck, name


def test_what_is_published_is_published_on_loopback_at_a_port_that_can_be_chosen() -> None:
    published = {name: service.ports for name, service in COMPOSE.services.items() if service.ports}
    assert set(published) == {"trigger", "retrieval", "console", "prometheus", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    written = re.findall(r'- "127\.0\.0\.1:(\S+):\d+"', TEXT)
    assert len(written) == len(published)
    assert all(port.startswith("${") for port in written)


def test_every_container_has_limits_a_read_only_root_and_no_way_to_more_rights() -> None:
    for name, service in COMPOSE.services.items():
        assert service.read_only, name
        assert service.mem_limit, name
        assert 0 < service.cpus <= 2, name
        assert "no-new-privileges:true" in service.security_opt, name
        assert service.cap_drop == ["ALL"], name


def test_no_container_is_root() -> None:
    """Our images say so themselves (test_images.py), Kafka's does too: the others are told."""
    for name in ("cache", "prometheus", "grafana"):
        assert COMPOSE.services[name].user.partition(":")[0] not in ("", "0"), name
    for name in OWN:
        assert COMPOSE.services[name].user == "", name


def test_every_volume_is_declared_and_whoever_only_reads_bundles_cannot_write_them() -> None:
    writers = {"bundle", "trainer", "console", *ENGINES}
    used = set()
    for name, service in COMPOSE.services.items():
        for volume in service.volumes:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert volume.endswith(":ro")
                continue
            used.add(source)
            if source == "bundles":
                assert volume.endswith(":ro") == (name not in writers), name
            if source == "none":
                assert volume.endswith(":ro"), name
    assert used == set(COMPOSE.volumes)


def test_the_file_keeps_to_what_old_and_new_compose_read() -> None:
    content = yaml.safe_load(TEXT)
    assert {key for key in content if not key.startswith("x-")} == {"services", "volumes"}
    for name, service in content["services"].items():
        # How a GPU is asked for, in either; everything else of `deploy` is a swarm's.
        assert not {"develop", "configs", "secrets"} & set(service), name
        assert ("deploy" in service) == (name == "engine-gpu"), name


def test_every_variable_of_the_file_stands_in_its_documentation_and_no_other() -> None:
    """The tables of docs/compose.md, whose first column is names."""
    documented = set()
    for line in (ROOT / "docs" / "compose.md").read_text().splitlines():
        if line.startswith("| `"):
            documented |= set(re.findall(r"`([A-Z][A-Z_]+)`", line.split("|")[1]))
    assert documented - {"COMPOSE_PROFILES"} == set(re.findall(r"\$\{([A-Z_]+):-", TEXT))


def test_each_base_image_is_a_tag_of_its_own_choosing_and_never_the_latest() -> None:
    for name, service in COMPOSE.services.items():
        if name not in OWN:
            assert not service.image.endswith(":latest"), name
            assert ":" in service.image, name
    assert all(service.image.startswith("rankgr-") for service in OWN.values())
    assert all(service.build is not None and service.build.context == "." for service in OWN.values())
