"""docker-compose.yml sets only what the processes read, publishes nothing beyond loopback, waits for what is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import BaseModel

from services.runtime.settings import ProcessSettings, StreamSettings, read_settings, variables_of

ROOT = Path(__file__).parents[2]
PROCESSES = ("trigger", "history", "precompute", "engine", "retrieval", "samples")
VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


class Build(BaseModel):
    context: str
    dockerfile: str


class Health(BaseModel):
    test: list[str]
    start_period: str = ""


class Waits(BaseModel):
    condition: Literal["service_healthy", "service_completed_successfully"]


class Service(BaseModel):
    """What these tests read of a service."""

    image: str
    build: Build | None = None
    command: list[str] | str = []
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


COMPOSE = Compose.model_validate(
    yaml.safe_load(VARIABLE.sub(lambda found: found[1], (ROOT / "docker-compose.yml").read_text()))
)
OWN = {name: service for name, service in COMPOSE.services.items() if service.build}


def settings_of(process: str) -> type[ProcessSettings]:
    here = vars(importlib.import_module(f"services.{process}.settings"))
    (kind,) = [
        one for one in here.values() if isinstance(one, type) and one.__module__.startswith(f"services.{process}")
    ]
    assert issubclass(kind, ProcessSettings)
    return kind


def settings_in_the_file(process: str, monkeypatch: pytest.MonkeyPatch) -> ProcessSettings:
    for name, value in COMPOSE.services[process].environment.items():
        monkeypatch.setenv(name, str(value))
    return read_settings(settings_of(process))


@pytest.mark.parametrize("process", PROCESSES)
def test_every_variable_is_one_that_its_process_reads(process: str) -> None:
    assert set(COMPOSE.services[process].environment) <= set(variables_of(settings_of(process)).values())


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_accepts_what_the_file_tells_it_and_is_asked_where_it_listens(
    process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in_the_file(process, monkeypatch)
    service = COMPOSE.services[process]
    assert service.command == ["serve", process]
    assert settings.host == "0.0.0.0"
    assert service.healthcheck is not None
    assert service.healthcheck.test[-1] == str(settings.port)
    for published in service.ports:
        assert published.endswith(f":{settings.port}")


def test_the_command_that_makes_topics_knows_its_variables() -> None:
    assert set(COMPOSE.services["topics"].environment) <= set(variables_of(StreamSettings).values())


def test_no_other_service_is_told_a_setting() -> None:
    for name in set(COMPOSE.services) - {*PROCESSES, "topics"}:
        assert not [variable for variable in COMPOSE.services[name].environment if variable.startswith("RANKGR_")]


def test_every_address_is_that_of_a_service_which_is_waited_for() -> None:
    for name, service in COMPOSE.services.items():
        told = {key: str(value) for key, value in service.environment.items() if key.startswith("RANKGR_")}
        hosts = [urlsplit(value).hostname for value in told.values() if "://" in value]
        hosts += [broker.rpartition(":")[0] for broker in told.get("RANKGR_KAFKA_BOOTSTRAP", "").split(",") if broker]
        for host in hosts:
            assert host in _awaited(name), f"{name}: {host}"


def test_whoever_travels_by_kafka_waits_until_its_topics_are_there() -> None:
    travellers = [name for name in PROCESSES if "RANKGR_KAFKA_BOOTSTRAP" in COMPOSE.services[name].environment]
    assert travellers == ["trigger", "history", "precompute", "samples"]
    for name in travellers:
        assert COMPOSE.services[name].depends_on["topics"].condition == "service_completed_successfully"


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


def test_every_service_has_a_health_check_or_ends_by_itself() -> None:
    for name, service in COMPOSE.services.items():
        assert service.one_shot or service.healthcheck, name


def test_only_trigger_and_retrieval_are_published_and_only_on_loopback() -> None:
    published = {name: service.ports for name, service in COMPOSE.services.items() if service.ports}
    assert set(published) == {"trigger", "retrieval"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_container_has_a_limit_a_read_only_root_and_no_way_to_more_rights() -> None:
    for name, service in COMPOSE.services.items():
        assert service.read_only, name
        assert service.mem_limit, name
        assert "no-new-privileges:true" in service.security_opt, name
    for name, service in OWN.items():
        assert service.cap_drop == ["ALL"], name


def test_every_volume_is_declared_and_only_the_bundle_service_writes_bundles() -> None:
    for name, service in COMPOSE.services.items():
        for volume in service.volumes:
            assert volume.split(":")[0] in COMPOSE.volumes
            if volume.startswith("bundles:"):
                assert volume.endswith(":ro") == (name != "bundle")


def test_the_file_keeps_to_what_old_and_new_compose_read() -> None:
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert {key for key in content if not key.startswith("x-")} == {"services", "volumes"}
    assert not any({"develop", "deploy", "configs"} & set(service) for service in content["services"].values())
