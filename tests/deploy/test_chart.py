"""The Helm chart: valid objects, known settings, nobody with more rights or connections than needed."""

from __future__ import annotations

import importlib
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from services.precompute.settings import PrecomputeSettings
from services.runtime.lifecycle import GRACEFUL_S
from services.runtime.settings import ProcessSettings, read_settings, variables_of

from .chart import (
    CHART,
    OPERATORS,
    ROOT,
    VALUES,
    WORKLOADS,
    Manifest,
    container_of,
    example,
    of_kind,
    peers_of,
    pod_of,
    rendered,
    selects,
    values_of,
)
from .ports import PORTS

NAMES = [file.stem for file in VALUES]
EXAMPLES = pytest.mark.parametrize("name", NAMES)
# The oldest that the chart says it takes, and the newest whose schemas are at hand.
KUBERNETES = ("1.28", "1.37")
REDIS, KAFKA, STORE = "redis", "kafka", "store"
# ARCHITECTURE.md's picture, and the bundle store that engine, precompute and retrieval follow and the trainer fills.
# The console looks at everybody.
OUTSIDE = {
    "trigger": {REDIS, KAFKA},
    "history": {REDIS, KAFKA},
    "precompute": {REDIS, KAFKA, STORE},
    "engine": {STORE},
    "retrieval": {REDIS, STORE},
    "samples": {KAFKA},
    "trainer": {KAFKA, STORE},
    "console": {REDIS, KAFKA, STORE},
}
EDGES = {("precompute", "engine")} | {("console", name) for name in PORTS if name != "console"}
SECRETS = re.compile("PASSWORD|API_KEY$|USERNAME")


def workloads(name: str) -> dict[str, Manifest]:
    return of_kind(example(name), *WORKLOADS)


def processes(name: str) -> dict[str, Manifest]:
    return {component: one for component, one in workloads(name).items() if component != "topics"}


@EXAMPLES
def test_helm_finds_nothing_to_complain_about(name: str) -> None:
    report = helm_python.lint(CHART, values_of(name), strict=True, kube_version="v1.37.0")
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


@pytest.mark.heavy
@EXAMPLES
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_kubernetes(name: str, version: str) -> None:
    for one in example(name):
        if one["apiVersion"] not in OPERATORS:
            kubernetes_validate.validate(one, version, strict=True)


@EXAMPLES
def test_no_two_objects_are_one(name: str) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in example(name)]
    assert len(set(names)) == len(names)


@EXAMPLES
def test_every_process_is_there(name: str) -> None:
    assert set(workloads(name)) == {*PORTS, "topics"}
    assert set(of_kind(example(name), "Service")) == set(PORTS)
    assert set(of_kind(example(name), "PodDisruptionBudget")) == set(PORTS)


@EXAMPLES
def test_selectors_take_the_pods_that_they_mean_and_no_others(name: str) -> None:
    labels = {component: one["spec"]["template"]["metadata"]["labels"] for component, one in workloads(name).items()}
    selectors = {
        (one["kind"], component): one["spec"]["selector"].get("matchLabels", one["spec"]["selector"])
        for kind in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget")
        for component, one in of_kind(example(name), kind).items()
    }
    for (kind, component), selector in selectors.items():
        taken = {other for other, told in labels.items() if selects(selector, told)}
        assert taken == {component}, f"{kind} of {component}"


def settings_of(process: str) -> type[ProcessSettings]:
    here = vars(importlib.import_module(f"services.{process}.settings"))
    [kind] = [
        one
        for one in here.values()
        if isinstance(one, type)
        and one.__module__.startswith(f"services.{process}")
        and issubclass(one, ProcessSettings)
    ]
    return kind


def written() -> list[str]:
    """Processes whose code is here."""
    return [name for name in PORTS if (ROOT / "services" / name / "settings.py").exists()]


def told(process: Manifest) -> dict[str, str]:
    """Its variables, with something in place of what comes from a Secret or from the pod itself."""
    stand_ins = {"RANKGR_REDIS_URL": "redis://redis/0", "RANKGR_SAMPLES_SHARE": "0"}
    variables = {one["name"]: one.get("value") for one in container_of(process)["env"]}
    assert len(variables) == len(container_of(process)["env"]), "a variable is there twice"
    return {key: stand_ins.get(key, "secret") if value is None else value for key, value in variables.items()}


def known_variables(process: str) -> set[str]:
    outside_ours = {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    return set(variables_of(settings_of(process)).values()) | outside_ours


@EXAMPLES
@pytest.mark.parametrize("process", written())
def test_every_variable_is_one_that_its_process_reads(name: str, process: str) -> None:
    assert set(told(processes(name)[process])) <= known_variables(process)


@EXAMPLES
@pytest.mark.parametrize("process", written())
def test_a_process_accepts_what_it_is_told(
    name: str, process: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in told(processes(name)[process]).items():
        file = tmp_path / variable
        if variable.endswith("_FILE"):
            file.write_text("{}")
            monkeypatch.setenv(variable, str(file))
        else:
            monkeypatch.setenv(variable, value)
    settings = read_settings(settings_of(process))
    assert (settings.host, settings.port) == ("0.0.0.0", PORTS[process])


def test_a_misspelt_variable_is_found() -> None:
    values = values_of("small")
    values["retrieval"]["env"] = {"RANKGR_RETRIEVAL_MAX_AGE": "60"}
    [retrieval] = [
        one for one in rendered(values) if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("retrieval")
    ]
    assert set(told(retrieval)) - known_variables("retrieval") == {"RANKGR_RETRIEVAL_MAX_AGE"}


@EXAMPLES
def test_what_is_secret_comes_from_a_secret(name: str) -> None:
    assert of_kind(example(name), "Secret") == {}
    for component, one in workloads(name).items():
        for variable in container_of(one)["env"]:
            if SECRETS.search(variable["name"]):
                assert "secretKeyRef" in variable["valueFrom"], f"{component}: {variable['name']}"


@EXAMPLES
def test_every_container_is_bounded_and_has_no_more_rights_than_it_needs(name: str) -> None:
    for component, one in workloads(name).items():
        pod, container = pod_of(one), container_of(one)
        assert pod["automountServiceAccountToken"] is False, component
        for key, wanted in {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }.items():
            assert pod["securityContext"][key] == wanted, component
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
        }, component
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]), component
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), component
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claimed = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claimed, component
        assert not any("hostPath" in volume for volume in pod["volumes"]), component


@EXAMPLES
def test_every_process_is_probed_and_has_the_time_to_drain(name: str) -> None:
    for component, one in processes(name).items():
        container = container_of(one)
        assert container["args"] == ["serve", component]
        assert container["ports"] == [{"name": "http", "containerPort": PORTS[component]}]
        probes = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
        assert probes == {
            "startup": {"path": "/healthz", "port": "http"},
            "liveness": {"path": "/healthz", "port": "http"},
            "readiness": {"path": "/readyz", "port": "http"},
        }, component
        drain_s = float(told(one)["RANKGR_DRAIN_S"])
        assert pod_of(one)["terminationGracePeriodSeconds"] > drain_s + GRACEFUL_S, component
        assert pod_of(one)["topologySpreadConstraints"], component


@EXAMPLES
def test_nobody_goes_before_another_one_is_ready(name: str) -> None:
    for component, one in of_kind(example(name), "Deployment").items():
        assert one["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}, component
    kept = of_kind(example(name), "StatefulSet")
    assert set(kept) == {"engine", "samples", "trainer"}
    assert kept["trainer"]["spec"]["replicas"] == 1
    assert all(one["spec"]["updateStrategy"] == {"type": "RollingUpdate"} for one in kept.values())


@EXAMPLES
def test_what_is_scaled_has_no_number_of_replicas_of_its_own(name: str) -> None:
    deployed = {one["metadata"]["name"]: one for one in of_kind(example(name), "Deployment").values()}
    scalers = of_kind(example(name), "HorizontalPodAutoscaler", "ScaledObject")
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in scalers.values()}
    assert scaled <= set(deployed)
    assert {key for key, one in deployed.items() if "replicas" not in one["spec"]} == scaled


def test_precompute_scales_on_the_lag_of_its_own_group() -> None:
    [scaler] = of_kind(example("production"), "ScaledObject").values()
    [trigger] = scaler["spec"]["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"] == {
        "bootstrapServers": values_of("production")["kafka"]["bootstrap"],
        "consumerGroup": "shop.precompute",
        "topic": "shop.triggers",
        "lagThreshold": "50",
        "offsetResetPolicy": "latest",
        "tls": "enable",
        "sasl": "scram_sha512",
    }
    [auth] = of_kind(example("production"), "TriggerAuthentication").values()
    assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]
    assert {one["parameter"] for one in auth["spec"]["secretTargetRef"]} == {"username", "password", "ca"}


def test_precompute_scales_before_it_gives_triggers_up() -> None:
    settings = PrecomputeSettings.model_construct()
    [scaler] = of_kind(example("production"), "ScaledObject").values()
    [trigger] = scaler["spec"]["triggers"]
    assert int(trigger["metadata"]["lagThreshold"]) < settings.concurrency + settings.waiting


@EXAMPLES
def test_precompute_knows_every_engine_by_the_name_that_it_has(name: str) -> None:
    engine = processes(name)["engine"]
    service = of_kind(example(name), "Service")["engine"]
    assert service["spec"]["clusterIP"] == "None"
    assert engine["spec"]["serviceName"] == service["metadata"]["name"]
    urls = [
        f"http://{engine['metadata']['name']}-{number}.{service['metadata']['name']}:8103"
        for number in range(engine["spec"]["replicas"])
    ]
    assert told(processes(name)["precompute"])["RANKGR_PRECOMPUTE_ENGINE_URL"].split(",") == urls


def test_every_share_of_the_users_has_a_pod() -> None:
    samples = processes("production")["samples"]
    assert told(samples)["RANKGR_SAMPLES_SHARES"] == str(samples["spec"]["replicas"]) == "4"
    [share] = [one for one in container_of(samples)["env"] if one["name"] == "RANKGR_SAMPLES_SHARE"]
    assert share["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_a_gpu_is_asked_for_where_it_is_said() -> None:
    for component in ("engine", "trainer"):
        one = processes("gpu")[component]
        assert container_of(one)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod_of(one)["nodeSelector"]["nvidia.com/gpu.present"] == "true"
        assert pod_of(one)["tolerations"]
    assert container_of(processes("gpu")["engine"])["image"].startswith("rankgr-engine-vllm:")
    assert "gpu" not in yaml.safe_dump([processes("small")[name] for name in PORTS])


@EXAMPLES
def test_only_the_edges_of_the_picture_are_open(name: str) -> None:
    values = {
        **yaml.safe_load((CHART / "values.yaml").read_text())["networkPolicy"],
        **values_of(name).get("networkPolicy", {}),
    }
    ports = {REDIS: values["redis"]["ports"], KAFKA: values["kafka"]["ports"], STORE: values["bundleStore"]["ports"]}
    policies = of_kind(example(name), "NetworkPolicy")
    denied = policies.pop("network")
    assert "ingress" not in denied["spec"]
    assert "egress" not in denied["spec"]
    assert denied["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policies.pop("topics")["spec"]["ingress"] == []
    assert set(policies) == set(PORTS)
    traced = values["traces"]["ports"] if values["traces"]["peers"] else []
    for component, policy in policies.items():
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert set(peers_of(spec["egress"], "to")) == {(to, PORTS[to]) for of, to in EDGES if of == component}
        assert set(peers_of(spec["ingress"], "from")) == {(of, PORTS[component]) for of, to in EDGES if to == component}
        assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == {PORTS[component]}
        # On a claim the store is a file system.
        outside = OUTSIDE[component] - ({STORE} if "claim" in values_of(name)["bundle"] else set())
        wanted = sorted(port for system in outside for port in ports[system])
        found = sorted(
            port["port"] for rule in spec["egress"] for port in rule["ports"] if port["port"] not in PORTS.values()
        )
        assert found == sorted([*wanted, *traced, 53, 53]), component


def test_strangers_reach_trigger_and_retrieval_alone() -> None:
    policies = of_kind(example("small"), "NetworkPolicy")
    anybody: dict[str, dict[str, str]] = {"namespaceSelector": {}}
    open_to_all = {
        component
        for component, one in policies.items()
        if any(anybody in rule["from"] for rule in one["spec"].get("ingress", []))
    }
    assert open_to_all == {"trigger", "retrieval"}


def test_the_operator_s_rules_are_the_rules_of_prometheus() -> None:
    rules = [one for one in example("production") if one["kind"] == "PrometheusRule"]
    found = [group for one in rules for group in one["spec"]["groups"]]
    files = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
    wanted = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    for group in wanted:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["annotations"]["runbook_url"] = "https://wiki.example/rankgr/" + rule["annotations"]["runbook_url"]
    assert found == wanted


def test_the_operator_scrapes_every_process_under_its_own_name() -> None:
    [monitor] = of_kind(example("production"), "ServiceMonitor").values()
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/component"
    for component, service in of_kind(example("production"), "Service").items():
        labels = service["metadata"]["labels"]
        assert selects(monitor["spec"]["selector"]["matchLabels"], labels)
        assert labels["app.kubernetes.io/component"] == component
        assert [port["name"] for port in service["spec"]["ports"]] == [monitor["spec"]["endpoints"][0]["port"]]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kafka": {"bootstrap": ""}}, "kafka.bootstrap: name the brokers"),
    ({"kafka": {"bootstrap": "kafka"}}, "/kafka/bootstrap"),
    ({"redis": {"url": ""}}, "redis: either url"),
    ({"redis": {"url": "redis://user:word@redis/0"}}, "/redis/url"),
    ({"bundle": {"store": "s3://models", "claim": "bundles"}}, "bundle: either store"),
    ({"auth": {"allowNoKeys": False}}, "auth: either existingSecret.name"),
    ({"auth": {"allowNoKeys": False, "existingSecret": {"name": "keys"}}}, "auth.apiKey.name"),
    ({"engine": {"env": {"RANKGR_API_KEY": "k"}}}, "RANKGR_API_KEY"),
    ({"engine": {"host": "tensorflow"}}, "/engine/host"),
    ({"trigger": {"replica": 2}}, "replica"),
    ({"trigger": {"resources": {"limits": {"cpu": "much"}}}}, "/trigger/resources/limits"),
    ({"precompute": {"autoscaling": {"kind": "keda", "minReplicas": 9, "maxReplicas": 3}}}, "minReplicas is above"),
    ({"typo": {}}, "typo"),
]


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    for key, value in over.items():
        base[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base


@pytest.mark.parametrize(("over", "complaint"), BAD, ids=[complaint for _, complaint in BAD])
def test_bad_values_get_one_clear_line(over: dict[str, Any], complaint: str) -> None:
    with pytest.raises(helm_python.HelmError, match=re.escape(complaint)):
        rendered(merged(deepcopy(values_of("small")), deepcopy(over)))


def test_compose_and_chart_run_the_same_processes() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(PORTS) & set(services) >= {"trigger", "history", "precompute", "engine", "retrieval", "samples"}


@pytest.mark.heavy
def test_promtool_accepts_the_operator_s_rules(tmp_path: Path) -> None:
    for one in example("production"):
        if one["kind"] == "PrometheusRule":
            file = tmp_path / "rules.yml"
            file.write_text(yaml.safe_dump(one["spec"]))
            checked = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
