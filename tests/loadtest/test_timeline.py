"""The account of a run: what goes in comes out, whole or in parts, from one process or several."""

from __future__ import annotations

import json
import math
from collections import Counter
from random import Random

import pytest

from loadtest.timeline import Cell, Kind, Result, Row, Timeline, percentile

TRIGGER = Row(Kind.REQUEST, "trigger")
FRESH, STALE = Row(Kind.LIST, "fresh"), Row(Kind.LIST, "stale")


def noted(seed: int = 1, answers: int = 500) -> Timeline:
    random, run = Random(seed), Timeline()
    for _ in range(answers):
        result = random.choice(list(Result))
        run.note(random.choice((TRIGGER, FRESH)), random.randrange(100, 110), random.expovariate(0.1), result)
        if result is Result.FAILED:
            run.note_reason("trigger: status 500")
    return run


def test_counts_rates_and_times_are_those_of_the_seconds_that_were_asked_for() -> None:
    run = Timeline()
    for second, ms in ((10, 1.0), (10, 2.0), (11, 3.0), (19, 100.0)):
        run.note(TRIGGER, second, ms)
    run.note(TRIGGER, 19, 5.0, Result.REFUSED)
    run.note(TRIGGER, 19, 5.0, Result.FAILED)
    row = run.measured(TRIGGER)
    assert (row.count, row.refused, row.failures, row.per_second) == (6, 1, 1, 0.6)
    assert (row.p50_ms, row.p99_ms) == (3.0, 100.0)
    early = run.measured(TRIGGER, range(10, 12))
    assert (early.count, early.per_second, early.p99_ms) == (3, 1.5, 3.0)
    assert run.span() == range(10, 20)


def test_percentiles_are_those_of_a_sorted_list_to_three_digits() -> None:
    random, run = Random(7), Timeline()
    times = [random.lognormvariate(3, 2) for _ in range(999)]
    for ms in times:
        run.note(TRIGGER, 0, ms)
    row = run.measured(TRIGGER)
    for share, found in ((0.50, row.p50_ms), (0.95, row.p95_ms), (0.99, row.p99_ms)):
        exact = sorted(times)[math.ceil(share * len(times)) - 1]
        assert found == pytest.approx(exact, rel=0.006, abs=0.051)


def test_what_workers_drain_and_a_master_merges_is_what_one_process_would_have_counted() -> None:
    alone, master = Timeline(), Timeline()
    for seed in (1, 2, 3):
        worker = noted(seed)
        as_sent = json.loads(json.dumps(worker.drain()))
        assert worker.drain() == ([], {})
        master.merge(*as_sent)
        alone.merge(*noted(seed).drain())
    assert alone.reasons == master.reasons
    for row in (TRIGGER, FRESH):
        assert alone.cells[row] == master.cells[row]
        assert master.measured(row).count == sum(noted(seed).count(row) for seed in (1, 2, 3))


def test_a_share_is_of_all_rows_of_its_kind() -> None:
    run = Timeline()
    for row, second in ((FRESH, 1), (FRESH, 2), (FRESH, 3), (STALE, 3), (TRIGGER, 3)):
        run.note(row, second, 1.0)
    assert run.share(FRESH) == 0.75
    assert run.share(FRESH, range(3, 4)) == 0.5
    assert math.isnan(run.share(FRESH, range(4, 9)))


def test_nothing_measured_is_no_number() -> None:
    assert math.isnan(percentile(Counter(), 0.5))
    assert Timeline().span() == range(0)
    assert Timeline().measured(TRIGGER).count == 0


def test_a_cell_adds_up() -> None:
    cell = Cell(Counter({3: 1}), refused=1)
    cell.add(Cell(Counter({3: 2, 5: 1}), failed=2))
    assert cell == Cell(Counter({3: 3, 5: 1}), refused=1, failed=2)
