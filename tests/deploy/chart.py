"""deploy/kubernetes/rankgr rendered by Helm's own engine, as typed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "kubernetes" / "rankgr"
VALUES = sorted((ROOT / "deploy" / "kubernetes" / "values").glob("*.yaml"))
RELEASE = "shop"
# What custom resources look like stands in no schema of Kubernetes' own.
OPERATORS = ("keda.sh/v1alpha1", "monitoring.coreos.com/v1")
WORKLOADS = ("Deployment", "StatefulSet", "Job")

Values = Mapping[str, Any]
Manifest = dict[str, Any]


def values_of(name: str) -> dict[str, Any]:
    """An example's values."""
    content: dict[str, Any] = yaml.safe_load((CHART.parent / "values" / f"{name}.yaml").read_text())
    return content


def rendered(values: Values) -> list[Manifest]:
    """Every object; raises helm_python.HelmError with the chart's own complaint."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        files = chart.render(dict(values), name=RELEASE, namespace="shop")
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


@cache
def example(name: str) -> tuple[Manifest, ...]:
    """Every object of an example; not to be changed."""
    return tuple(rendered(values_of(name)))


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> dict[str, Manifest]:
    """Component -> object of these kinds."""
    return {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in objects if one["kind"] in kinds}


def pod_of(workload: Manifest) -> Manifest:
    """The specification of its pods."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def container_of(workload: Manifest) -> Manifest:
    """The one container of its pods."""
    [one] = pod_of(workload)["containers"]
    found: Manifest = one
    return found


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether matchLabels takes these labels."""
    return selector.items() <= labels.items()


def peers_of(rules: list[Manifest], side: str) -> Iterator[tuple[str, int]]:
    """Component and port of every edge to or from a pod of ours."""
    for rule in rules:
        for peer in rule.get(side, []):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            if "app.kubernetes.io/component" in labels:
                for port in rule["ports"]:
                    yield labels["app.kubernetes.io/component"], port["port"]
