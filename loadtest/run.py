"""`python -m loadtest.run`: a stack on free ports, locust on it without a window, and nothing left behind.

`make load` calls it.  Exit code 1 when a budget was not kept.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated

import httpx
import typer

from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import free_port

ROOT = Path(__file__).parents[1]
PROCESSES = ("trigger", "history", "precompute", "engine", "retrieval", "samples")
READY_WITHIN_S = 120.0
ASK_EVERY_S = 0.2
STOP_WITHIN_S = 30.0
# What the demo builds.
PRESET = "tiny"
# Not all in the same instant: a crowd is another test.
ARRIVALS_PER_S = "2"


class StackFailed(Exception):
    """The stack did not come up; the message holds what it said last."""


def run(
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle to serve; default: the demo's, built if absent.")
    ] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="How many shoppers at once.")] = 8,
    seconds: Annotated[int, typer.Option(min=1, help="For how long.")] = 30,
    state: Annotated[Path, typer.Option(help="Where the demo's data and bundle are kept.")] = Path("var"),
) -> None:
    """Put load on a stack of its own and hold what was measured against budgets.toml."""
    served = bundle or _demo_bundle(state)
    typer.echo(_circumstances())
    try:
        with tempfile.TemporaryDirectory(prefix="rankgr-load-") as directory, _stack(served, Path(directory)) as urls:
            code = _locust(urls, shoppers, seconds)
    except StackFailed as error:
        typer.echo(f"load test: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"load average afterwards: {_load()}")
    raise typer.Exit(code)


def _demo_bundle(state: Path) -> Path:
    """Imported here: with a bundle in hand this process needs no torch."""
    from services.cli.output import progress
    from services.local.prepare import prepare

    with progress(quiet=False) as shown:
        return prepare(state, None, PRESET, shown).bundle


@contextmanager
def _stack(bundle: Path, directory: Path) -> Iterator[dict[str, str]]:
    """`rankgr up` inside the block, on ports of its own, so that a stack that runs already is not in the way."""
    ports = {name: free_port() for name in PROCESSES}
    told = {f"RANKGR_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    log = directory / "stack.log"
    with log.open("w") as says:
        stack = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", "--bundle", str(bundle), "--state", str(directory)],
            cwd=ROOT,
            env={**os.environ, **told},
            stdin=subprocess.DEVNULL,
            stdout=says,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches the whole group: we end the stack when locust has ended.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        try:
            urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            _wait_ready(stack, urls, log)
            yield urls
        finally:
            _stop(stack)


def _wait_ready(stack: subprocess.Popen[bytes], urls: dict[str, str], log: Path) -> None:
    until_s = monotonic() + READY_WITHIN_S
    with httpx.Client(timeout=2.0) as client:
        while not all(_is_ready(client, url) for url in urls.values()):
            if stack.poll() is not None or monotonic() > until_s:
                raise StackFailed("the stack did not come up:\n" + "\n".join(log.read_text().splitlines()[-5:]))
            sleep(ASK_EVERY_S)


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _stop(stack: subprocess.Popen[bytes]) -> None:
    stack.terminate()
    try:
        stack.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        stack.kill()
        stack.wait()


def _locust(urls: dict[str, str], shoppers: int, seconds: int) -> int:
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "--only-summary"]
    command += ["--users", str(shoppers), "--spawn-rate", ARRIVALS_PER_S, "--run-time", f"{seconds}s"]
    command += ["--stop-timeout", "10", "--trigger-url", urls["trigger"], "--retrieval-url", urls["retrieval"]]
    typer.echo(f"{shoppers} shoppers for {seconds} s")
    return subprocess.run([*command, "--loglevel", "WARNING"], cwd=ROOT, check=False).returncode


def _circumstances() -> str:
    """Without them figures are no report."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    when = datetime.now(UTC).isoformat(timespec="minutes")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return f"{when}, commit {commit}, {machine}, load average before: {_load()}"


def _load() -> str:
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


if __name__ == "__main__":
    typer.run(run)
