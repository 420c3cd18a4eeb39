"""The benchmark itself: one server after the other on the same store, saturated and at fixed rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.errors import Unavailable
from services.bench.online.cases import CASES, OVERLOADED, STORE_CASE, Case
from services.bench.online.cores import Cores, pinned
from services.bench.online.kafka_broker import kafka_broker
from services.bench.online.open_loop import Offered
from services.bench.online.report import SATURATION, Load, Outcome, Row
from services.bench.online.served import Served, serving
from services.bench.online.shape import Shape
from services.bench.online.starts import Start
from services.bench.online.store_get import measure_gets
from services.bench.online.wrk import Saturation, saturate
from services.runtime.embedded_redis import EmbeddedRedis, free_port

SHARES = (0.25, 0.5, 0.75)
TIMES = (0.5, 1.0, 1.5, 2.0, 3.0)
# More than the server lets in at once, as callers' pools would have together.
OVERLOAD_CONNECTIONS = 256
WARM_UP_S = 1.0
GET_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds of each measurement."""

    saturation_s: float
    rate_s: float
    overload_s: float


@dataclass(frozen=True, slots=True)
class OnlineBench:
    """Measures the chosen cases; `say` gets a line before each."""

    store: EmbeddedRedis
    stream: EmbeddedRedis
    bundle: Path
    directory: Path
    cores: Cores
    shape: Shape
    length: Length
    say: Callable[[str], None]

    def run(self, names: tuple[str, ...], outcome: Outcome) -> None:
        """Add rows to the outcome.  Raises Unavailable: a program is missing, a server of ours does not start."""
        for case in CASES:
            if case.name in names:
                try:
                    self._measure(case, outcome)
                except Unavailable as error:
                    if not case.kafka:
                        raise
                    outcome.skipped.append((case.name, str(error)))
        if STORE_CASE in names:
            self.say(STORE_CASE)
            key = "rankgr:candidates:{0}"
            got = measure_gets(
                self.store.port, key, connections=self.shape.connections, calls=GET_CALLS, cores=self.cores.server
            )
            outcome.rows.append(
                Row(STORE_CASE, SATURATION, round(got.rps, 1), got.p50_ms, got.p99_ms, 0, note=got.program)
            )

    def start(self, name: str) -> Start:
        """Start a case's server and end it again.  Raises Unavailable."""
        case = next(case for case in CASES if case.name == name)
        self.say(f"{name}: start")
        with self.served(case) as (served, _note):
            return Start(served.ready_after_s, served.cpu_s(), served.peak_rss_mb())

    def _measure(self, case: Case, outcome: Outcome) -> None:
        with self.served(case) as (served, note):
            requests = case.requests(self.shape)
            self.say(f"{case.name}: saturation")
            self._saturate(served, requests, WARM_UP_S)
            before = served.cpu_s()
            found = self._saturate(served, requests, self.length.saturation_s)
            cpu_s = served.cpu_s() - before
            outcome.rows.append(
                Row(
                    case.name,
                    SATURATION,
                    round(found.rps, 1),
                    round(found.p50_ms, 3),
                    round(found.p99_ms, 3),
                    found.errors,
                    cpu_us_per_request=round(1e6 * cpu_s / max(1, found.answers), 1),
                    core_share=round(cpu_s * found.rps / max(1, found.answers), 3),
                    peak_rss_mb=round(served.peak_rss_mb(), 1),
                    ready_after_s=round(served.ready_after_s, 3),
                    note=note,
                )
            )
            paced_by = outcome.saturation_of(case.paced_as) or found.rps
            for share in SHARES if case.rates else ():
                self.say(f"{case.name}: {share:.0%} of saturation")
                outcome.rows.append(self._at_rate(case.name, served, requests, share, paced_by))
            if case.name == OVERLOADED and self.length.overload_s > 0:
                self._overload(served, requests, found.rps, outcome)

    def _saturate(self, served: Served, requests: Sequence[str], seconds: float) -> Saturation:
        return saturate(
            served.port,
            requests,
            connections=self.shape.connections,
            seconds=seconds,
            cores=self.cores.others,
            directory=self.directory,
        )

    def _at_rate(self, name: str, served: Served, requests: Sequence[str], share: float, saturation: float) -> Row:
        before = served.cpu_s()
        found = self._offer(served, requests, share * saturation, self.length.rate_s, self.shape.connections)
        cpu_s = served.cpu_s() - before
        answers = int(found["good"])
        errors = int(found["offered"]) - answers
        return Row(
            name,
            f"{share:.0%}",
            round(answers / found["seconds"], 1),
            round(found["p50_ms"], 3),
            round(found["p99_ms"], 3),
            errors,
            offered_rps=round(found["offered"] / found["seconds"], 1),
            cpu_us_per_request=round(1e6 * cpu_s / max(1, answers), 1),
            core_share=round(cpu_s / found["seconds"], 3),
        )

    def _overload(self, served: Served, requests: Sequence[str], saturation: float, outcome: Outcome) -> None:
        for times in TIMES:
            self.say(f"{OVERLOADED}: {times:g} times saturation")
            # The last one, three times what can be served, for its full time.
            seconds = self.length.overload_s if times == TIMES[-1] else self.length.rate_s
            before = served.cpu_s()
            found = self._offer(served, requests, times * saturation, seconds, OVERLOAD_CONNECTIONS)
            outcome.overload.append(
                Load(
                    times=times,
                    offered_rps=round(found["offered"] / seconds, 1),
                    good_rps=round(found["good"] / seconds, 1),
                    refused_rps=round(found["refused"] / seconds, 1),
                    given_up_rps=round(found["given_up"] / seconds, 1),
                    late_rps=round(found["late"] / seconds, 1),
                    failed=int(found["failed"]),
                    p99_ms=round(found["p99_ms"], 1),
                    core_share=round((served.cpu_s() - before) / seconds, 3),
                )
            )

    def _offer(
        self, served: Served, requests: Sequence[str], rate: float, seconds: float, connections: int
    ) -> dict[str, float]:
        offered = Offered(served.port, rate, seconds, connections, requests)
        ended = subprocess.run(
            [sys.executable, "-m", "services.bench.online.open_loop"],
            input=json.dumps(asdict(offered)).encode(),
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=pinned(self.cores.others),
        )
        found: dict[str, float] = json.loads(ended.stdout)
        return found

    @contextmanager
    def served(self, case: Case) -> Iterator[tuple[Served, str]]:
        """The case's server is ready inside the block; with a note for its row."""
        with ExitStack() as running:
            port, kafka, note = free_port(), "", ""
            if case.kafka:
                kafka, note = running.enter_context(kafka_broker(self.cores.others))
            fill = {
                "PORT": str(port),
                "REDIS": self.store.url,
                "STREAM": self.stream.url,
                "BUNDLE": str(self.bundle),
                "KAFKA": kafka,
            }
            if case.kafka:
                _create_topics(kafka)
            words = [fill.get(word, word) for word in case.words]
            told = {name: fill.get(value, value) for name, value in case.told.items()} | {"RANKGR_DRAIN_S": "0"}
            log = self.directory / f"{case.name}.log"
            yield running.enter_context(serving(words, port, case.ready, told, self.cores.server, log)), note


def _create_topics(bootstrap: str) -> None:
    """Topics for the Kafka case.  Raises Unavailable."""
    command = [sys.executable, "-m", "services.cli", "topics", "create"]
    told = os.environ | {"RANKGR_KAFKA_BOOTSTRAP": bootstrap}
    ended = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Unavailable(f"no topics: {ended.stderr.strip()}")
