"""Wiring of the benchmark: bundle, hosts, cases, and the files that a run leaves."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from contracts.errors import BadRequest
from contracts.progress import Progress
from model.bundle.prompt_side import read_prompt_side
from services.bench.engine.bundles import bundle_of
from services.bench.engine.cases import KINDS, Case, cases_of
from services.bench.engine.command import time_command
from services.bench.engine.entrants import COMMAND, ENTRANTS, Entrant
from services.bench.engine.machine import machine_of
from services.bench.engine.report import Machine, as_json, as_markdown
from services.bench.engine.run import EngineBench
from services.bench.engine.shapes import SHAPES, Shape
from services.bench.engine.terms import Outcome, Terms
from services.bench.engine.users import Users

ROUNDS, QUICK_ROUNDS = 7, 2
RESULT_FILE, TABLE_FILE = "result.json", "table.md"


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told; empty or 0 means the default.  Raises BadRequest for names nobody knows."""

    shape: str
    hosts: tuple[str, ...]
    at_once: tuple[int, ...]
    rounds: int
    quick: bool
    device: str
    threads: int
    seed: int
    reference_command: str
    cache: Path
    compile: bool = False
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise BadRequest(f"shape {self.shape!r} is none of {', '.join(SHAPES)}")
        if unknown := [name for name in self.hosts if name not in (*ENTRANTS, COMMAND)]:
            raise BadRequest(f"host {unknown[0]!r} is none of {', '.join((*ENTRANTS, COMMAND))}")
        if unknown := [name for name in self.kinds if name not in KINDS]:
            raise BadRequest(f"case {unknown[0]!r} is none of {', '.join(KINDS)}")
        if not self.at_once or min(self.at_once) < 1:
            raise BadRequest("users: needs at least one number of users at once, and each at least 1")
        if COMMAND in self.hosts and not self.reference_command:
            raise BadRequest(f"host {COMMAND} needs a --reference-command")

    def cases(self, shape: Shape) -> list[Case]:
        """The cases asked for."""
        every = cases_of(shape, self.at_once, quick=self.quick)
        return [case for case in every if not self.kinds or case.kind in self.kinds]

    def entrants(self) -> list[Entrant]:
        """The hosts asked for, in the order of the table."""
        return [entrant for name, entrant in ENTRANTS.items() if not self.hosts or name in self.hosts]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run's outcome and its circumstances."""

    shape: Shape
    machine: Machine
    outcome: Outcome

    def content(self) -> dict[str, object]:
        """For --json."""
        return as_json(self.shape, self.machine, self.outcome)

    def page(self) -> str:
        """Markdown."""
        return as_markdown(self.shape, self.machine, self.outcome)

    def write(self, out: Path) -> list[Path]:
        """result.json, table.md and the curves; which files were written.  Without matplotlib there are no curves."""
        out.mkdir(parents=True, exist_ok=True)
        result, table = out / RESULT_FILE, out / TABLE_FILE
        result.write_text(json.dumps(self.content(), indent=2, allow_nan=False) + "\n")
        table.write_text(self.page())
        if find_spec("matplotlib") is None:
            return [result, table]
        from services.bench.engine.figures import draw

        title = f"{self.shape.name}, {self.machine['device']}, {self.machine['threads']} threads"
        return [result, table, *draw(self.outcome.rows, title, out)]


def run(options: Options, environment: Mapping[str, str], started: datetime, progress: Progress) -> Finished:
    """Measure.  Raises BadRequest, BadBundle, OSError; a host that fails is an entry of `skipped`."""
    shape = SHAPES[options.shape]
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadRequest(f"device {device!r}: this torch sees no CUDA device")
    threads = options.threads or os.cpu_count() or 1
    machine = machine_of(device, threads, started)
    progress.begin("bundle", 1)
    bundle = bundle_of(shape, options.seed, options.cache.resolve(), started)
    side = read_prompt_side(bundle)
    command = None
    if options.reference_command and (not options.hosts or COMMAND in options.hosts):
        told = {"RANKGR_BENCH_BUNDLE": str(bundle), "RANKGR_BENCH_PROMPT_TOKENS": str(shape.prompt_tokens)}
        # As it would run from a shell: the command line's setting for our own threads is not the program's.
        theirs = {name: value for name, value in environment.items() if name != "OMP_WAIT_POLICY"}
        command = partial(time_command, options.reference_command, theirs | told)
    with tempfile.TemporaryDirectory(prefix="rankgr-bench-") as logs:
        terms = Terms(
            shape=shape,
            bundle=bundle,
            device=device,
            threads=threads,
            rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
            seed=options.seed,
            logs=Path(logs),
            environment={**environment, **_host_environment(threads)},
            compile=options.compile,
        )
        outcome = EngineBench(
            terms=terms,
            users=Users(side.prompt_format, side.catalog, options.seed),
            entrants=options.entrants(),
            cases=options.cases(shape),
            progress=progress,
            command=command,
        )()
    after = {"load_average_after": round(os.getloadavg()[0], 2)}
    return Finished(shape, machine | after, outcome)


def _host_environment(threads: int) -> dict[str, str]:
    """What must be set before a host's libraries are loaded."""
    return {
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while another host has its turn would slow that one down.
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
