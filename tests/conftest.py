"""Fixtures for every test: real Redis-compatible servers, free ports, and a bundle built in seconds."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import redis

from contracts.progress import Silent
from services.runtime import embedded_redis
from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, start_redis
from tests.s3_server import BUCKET, S3Server
from tests.small_disk import SmallDisk, small_disk_at

# As the command line does: read when torch is loaded, so that threads do not spin while another worker wants the core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skips`: where everything that a test needs is there, one that is skipped has lost its point."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where `--no-skips` says so."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though --no-skips was given: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same of a whole file that is left out."""
    report = yield
    if report.skipped and collector.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though --no-skips was given: {report.longrepr}"
    return report


StartRedis = Callable[[Path, ServerOptions], EmbeddedRedis]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One server for all tests of this worker process; never stop it in a test."""
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The worker's server, emptied."""
    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[StartRedis]:
    """Starts servers that a test may stop and kill; what still runs at its end is stopped."""
    with ExitStack() as running:

        def start(directory: Path, options: ServerOptions) -> EmbeddedRedis:
            server = start_redis(directory, options)
            running.callback(server.stop)
            return server

        yield start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 16 MB that can really be full."""
    with small_disk_at(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3-compatible server for all tests of this worker process; never stop it in a test."""
    pytest.importorskip("s3fs", reason="the extra s3 comes with `make setup-dev`")
    pytest.importorskip("moto", reason="moto comes with `make setup-dev`")
    server = S3Server.start()
    yield server
    server.kill()


@pytest.fixture
def s3_url(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place in the worker's server where nothing is yet, for this process and those that it starts."""
    for name, value in s3_server.told().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}/store"


@pytest.fixture(scope="session")
def micro_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set directory: the synthetic marketplace with 60 users and 80 items.  Change a copy, not this."""
    from model.data.data_set import write_data_set
    from model.data.synthetic import make_marketplace

    directory = tmp_path_factory.mktemp("micro") / "data"
    write_data_set(make_marketplace(users=60, items=80, seed=0), directory)
    return directory


@pytest.fixture(scope="session")
def micro_bundle(micro_data: Path) -> Path:
    """The bundle that preset micro makes of `micro_data`.  Change a copy, not this."""
    # Imported here: most tests need no torch.
    from model.build.build_bundle import BuildBundle
    from model.build.presets import PRESETS
    from model.build.source import Source
    from model.data.data_set import read_data_set

    data = read_data_set(micro_data)
    source = Source.of(data, preset="micro", recipe=PRESETS["micro"], seed=0, release=version("rankgr"))
    built = micro_data.with_name("bundle")
    BuildBundle(PRESETS["micro"], source, Silent(), datetime.now(UTC))(data, built)
    return built


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    return embedded_redis.free_port()


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """`await eventually(check)`: return once `check()` gives True; fail after `within_s`."""

    async def wait(check: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
        deadline = time.monotonic() + within_s
        while not await check():
            assert time.monotonic() < deadline, f"not within {within_s} s"
            await asyncio.sleep(0.01)

    return wait
