"""`python deploy/scale.py [NAME=VALUE ...]`: what a load needs, from measured unit costs, as docs/scale.md shows it.

Every need is a formula over costs and assumptions; `python deploy/scale.py rate=500 users=200e3` asks for another load.
Knows the standard library alone.  What was not measured is not in here.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """A measured unit cost.  `quote` stands in `source` word for word."""

    name: str
    value: float
    unit: str
    source: str
    quote: str
    on: str


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a load is assumed to be like; to be replaced by one's own."""

    name: str
    value: float
    says: str


@dataclass(frozen=True, slots=True)
class Need:
    """A formula over costs, assumptions and needs above it."""

    name: str
    formula: str
    unit: str
    says: str


XEON = "one core of two (Intel Xeon), quiet"
EPYC = "both of two cores (AMD EPYC), busy"
SHARED = "one core of two x86-64, other work beside it"

COSTS = (
    Cost(
        "pages_core", 2800, "pages/s", "performance.md", "| retrieve_page50 | 25% | 2,800 | 2,800 | 0.42 | 7.85 |", XEON
    ),
    Cost(
        "triggers_core",
        1824,
        "triggers/s",
        "performance.md",
        "| trigger_kafka | 25% | 1,824 | 1,824 | 4.05 | 18.00 |",
        XEON,
    ),
    Cost("list_bytes", 24648, "bytes", "performance.md", "24,648 on Redis 7.0.15", "any"),
    Cost("previous_s", 120, "s", "performance.md", "kept for two minutes", "any"),
    Cost("prompts_pair", 4.36, "prompts/s", "engine-performance.md", "| 229.6 | 242.4 | 4.36 |", EPYC),
    Cost("prompts_pair_back", 5.99, "prompts/s", "engine-performance.md", "| 167.0 | 177.9 | 5.99 |", EPYC),
    Cost("events_view", 11.09, "events/page view", "freshness.md", "221,847 interactions in 20,000 page views", "any"),
    Cost(
        "joined_core",
        16000,
        "events/s",
        "freshness.md",
        "interactions a second of its own processor time | 16,000",
        SHARED,
    ),
    Cost("session_mib", 2360, "MiB/million", "freshness.md", "2,360 MiB, from 5,000 sessions", SHARED),
    Cost("learnt_core", 198, "samples/s", "freshness.md", "on one core | 198 |", SHARED),
    Cost("ids_cpu_s", 173, "CPU s/million", "semantic-ids.md", "| all | 321 | 173 | 2,355 |", SHARED),
    Cost("ids_mib", 2355, "MiB/million", "semantic-ids.md", "| all | 321 | 173 | 2,355 |", SHARED),
)
# Bytes that arrays take, by their types (model/semantic_id); tests/deploy/test_scale.py holds them to real ones.
LAID_OUT = (
    Assumed("catalogue_bytes", 20, "an item in the catalogue: id, two codes, popularity (titles left out)"),
    Assumed("trie_bytes", 44, "an item in the trie of two levels, semantic ids unique"),
    Assumed("body_bytes", 4194304, "the longest request that an engine takes (RANKGR_ENGINE_MAX_BODY_BYTES)"),
    Assumed("page_bytes", 1056, "read from Redis for a page of 50: header and records"),
)
ASSUMED = (
    Assumed("rate", 10000, "page views a second, at the peak; each is a trigger, a page of 50, one report of events"),
    Assumed("more_pages", 0.3, "further pages of a page view (loadtest's shoppers)"),
    Assumed("users", 10e6, "users with a list at a time: those of a day (RANKGR_PRECOMPUTE_TTL_S)"),
    Assumed("back", 0.7, "share of prompts whose beginning an engine still holds"),
    Assumed("shard_bytes", 25e9, "of lists on one Redis shard"),
    Assumed("window_s", 900, "attribution window (RANKGR_SAMPLES_WINDOW_S)"),
    Assumed("items", 1e9, "in the catalogue"),
    Assumed("level", 32768, "codes per level, two levels"),
)
LOAD = (
    Need(
        "retrieve_cores",
        "rate * (1 + more_pages) / pages_core",
        "cores",
        "retrieval, each core at a quarter of what saturates it, where p99 was 7.85 ms",
    ),
    Need(
        "trigger_cores",
        "rate / triggers_core",
        "cores",
        "trigger on Kafka, at a quarter of saturation; reports of events are not in it",
    ),
    Need("list_memory", "users * list_bytes / 1e9", "GB", "lists in Redis"),
    Need(
        "previous_memory", "rate * previous_s * list_bytes / 1e9", "GB", "lists before the newest, kept for two minutes"
    ),
    Need(
        "shards",
        "ceil((list_memory + previous_memory) * 1e9 / shard_bytes)",
        "shards",
        "of a Redis Cluster, each with a replica of the same size",
    ),
    Need("written", "rate * list_bytes * 8 / 1e9", "Gbit/s", "lists written to Redis"),
    Need("read", "rate * (1 + more_pages) * page_bytes * 8 / 1e9", "Gbit/s", "pages read from Redis"),
    Need(
        "engine_pairs",
        "rate * (back / prompts_pair_back + (1 - back) / prompts_pair)",
        "machines of two cores",
        "engines on CPUs, at the shape of engine-performance.md (prompts of 2048 tokens, beams 500/1400)",
    ),
    Need("events", "rate * events_view", "events/s", "interactions"),
    Need("join_cores", "events / joined_core", "cores", "samples, if a share read only its own"),
    Need("join_memory", "rate * window_s / 1e6 * session_mib / 1024", "GiB", "sessions open in the join"),
    Need("train_cores", "rate / learnt_core", "cores", "the trainer on CPUs, if every page view became a sample"),
)
ITEMS = (
    Need("ids_there", "level ** 2 / 1e9", "billions", "semantic ids of two levels"),
    Need("filled", "items / level ** 2 * 100", "%", "of them in use, if ids are unique"),
    Need("catalogue", "items * catalogue_bytes / 1e9", "GB", "catalogue in memory: engine, precompute, console each"),
    Need("trie", "items * trie_bytes / 1e9", "GB", "trie in memory: engine"),
    Need("engine_swap", "2 * (catalogue + trie)", "GB", "an engine while it swaps: two of both"),
    Need("filter", "items / 8 / 1e6", "MB", "a filter of hidden items, a bit per item, with every prompt"),
    Need(
        "filter_most",
        "body_bytes * 8 / 1e6",
        "million items",
        "the largest catalogue whose filter fits a packed request",
    ),
    Need("ids_cpu", "items / 1e6 * ids_cpu_s / 3600", "CPU hours", "making the ids, if time grows with the items"),
    Need(
        "ids_memory",
        "items / 1e6 * ids_mib / 1024",
        "GiB",
        "the same in memory, in one process, vectors of 256 numbers",
    ),
)
BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def value_of(formula: str, known: Mapping[str, float]) -> float:
    """Plain arithmetic over known names, and `ceil`; KeyError for an unknown name, ValueError for anything else."""

    def of(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int(number) | float(number)):
                return number
            case ast.Name(id=name):
                return known[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return BINARY[type(op)](of(left), of(right))
            case ast.Call(func=ast.Name(id="ceil"), args=[one], keywords=[]):
                return math.ceil(of(one))
        raise ValueError(f"not plain arithmetic: {ast.unparse(node)}")

    return of(ast.parse(formula, mode="eval").body)


def solved(needs: Sequence[Need], known: Mapping[str, float]) -> dict[str, float]:
    """Every need, in order; a later one may use an earlier one."""
    found: dict[str, float] = {}
    for need in needs:
        found[need.name] = value_of(need.formula, {**known, **found})
    return found


def number(value: float) -> str:
    """Three digits that count, or all of a larger whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def known_values(given: Mapping[str, float]) -> dict[str, float]:
    """Costs, layouts and assumptions by name, with what was given in place of its own."""
    known = {one.name: one.value for one in (*COSTS, *LAID_OUT, *ASSUMED)}
    if unknown := sorted(set(given) - set(known)):
        raise SystemExit(f"scale: unknown: {', '.join(unknown)}")
    return known | dict(given)


def tables(given: Mapping[str, float]) -> list[str]:
    """The page's tables, as lines of Markdown."""
    known = known_values(given)
    lines = ["| measured | | unit | where | machine |", "|---|---:|---|---|---|"]
    lines += [f"| `{c.name}` | {number(known[c.name])} | {c.unit} | [{c.source}]({c.source}) | {c.on} |" for c in COSTS]
    lines += ["", "| laid out or assumed | | |", "|---|---:|---|"]
    lines += [f"| `{a.name}` | {number(known[a.name])} | {a.says} |" for a in (*LAID_OUT, *ASSUMED)]
    for title, needs in (("load", LOAD), ("items", ITEMS)):
        found = solved(needs, known)
        lines += ["", f"| {title} | formula | | what |", "|---|---|---:|---|"]
        lines += [f"| `{n.name}` | `{n.formula}` | {number(found[n.name])} {n.unit} | {n.says} |" for n in needs]
    return lines


def main() -> None:
    """NAME=VALUE arguments replace assumptions and costs."""
    given: dict[str, float] = {}
    for word in sys.argv[1:]:
        name, _, value = word.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            raise SystemExit(f"scale: {word!r} is no NAME=NUMBER") from None
    sys.stdout.write("\n".join(tables(given)) + "\n")


if __name__ == "__main__":
    main()
