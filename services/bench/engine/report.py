"""A run in words: the JSON that interfaces promise, and a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from services.bench.engine.lists import BFLOAT16_RECALL, PLAIN_TOLERANCE, SCORE_TOLERANCE
from services.bench.engine.shapes import Shape
from services.bench.engine.tally import Row
from services.bench.engine.terms import Outcome

TITLES = {
    "users": "Users at once",
    "mixed": "Eight users at once, prompts of mixed length",
    "repeat": "A user who is back with new items",
    "prompt": "Prompt length",
    "beams": "Beams of the first level",
    "lambda": "Lambda of the last level",
    "equal": "Both levels at one width",
    "plain": "Plain beam search on IAP alone, other people's decoders",
}
Machine = Mapping[str, str | int | float]


def as_json(shape: Shape, machine: Machine, outcome: Outcome) -> dict[str, object]:
    """machine, shape, rows and what else was found."""
    described = asdict(shape) | {"rank_head": shape.rank_head.model_dump(), "items": "density x all combinations"}
    product = outcome.product_flops
    return {
        "machine": dict(machine),
        "shape": described,
        "equality": {
            "float32": f"same semantic ids but for near-ties at the cut, scores within {SCORE_TOLERANCE:g}",
            "plain": f"the same for plain beam searches, within {PLAIN_TOLERANCE:g} of summed log p",
            "bfloat16": f"at least {BFLOAT16_RECALL:.0%} of the float32 reference's semantic ids",
            "holds": outcome.equal,
        },
        "plain_product_gflops": None if product is None else round(product / 1e9, 2),
        "hosts": outcome.about,
        "skipped": [{"host": host, "why": why} for host, why in outcome.skipped],
        "rows": [row.model_dump() for row in outcome.rows],
    }


def as_markdown(shape: Shape, machine: Machine, outcome: Outcome) -> str:
    """One table per kind of case."""
    lines = [f"# Engine benchmark, shape {shape.name}", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    if outcome.product_flops is not None:
        lines.append(f"- a plain {shape.dtype} matrix product in this run: {outcome.product_flops / 1e9:,.1f} GFLOP/s")
    lines += [f"- {host} left out: {why}" for host, why in outcome.skipped]
    for kind, title in TITLES.items():
        rows = [row for row in outcome.rows if row.case == kind]
        if rows:
            lines += ["", f"## {title}", "", *_table(rows)]
    return "\n".join([*lines, ""])


def _table(rows: Sequence[Row]) -> list[str]:
    head = "host | users | prompt | beams | lambda | ms/user | p90 | users/s | peak MB | equal | GFLOP/s"
    head += " | stages (ms/user), notes"
    return [
        f"| {head} |",
        "|" + " --- |" * (head.count("|") + 1),
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]


def _cells(row: Row) -> list[str]:
    share = "" if row.share_of_product is None else f" ({row.share_of_product:.0%})"
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in row.stages_ms.items())
    notes = [row.note, "extrapolated from a part" if row.extrapolated else ""]
    if row.counts.get("reused_tokens"):
        notes.append(
            f"{row.counts['computed_tokens']:.0f} prompt tokens computed, {row.counts['reused_tokens']:.0f} reused"
        )
    if "beams2" in row.counts:
        notes.append(f"{row.counts['extended2']:.0f} of {row.counts['beams2']:.0f} beams extended")
    return [
        row.host,
        str(row.users),
        "mixed" if len(set(row.prompt_lengths)) > 1 else str(row.prompt_tokens),
        "/".join(map(str, row.beams)),
        "/".join(map(str, row.lambdas)),
        f"{row.ms_per_user_median:,.1f}",
        f"{row.ms_per_user_p90:,.1f}",
        f"{row.users_per_s:,.2f}",
        f"{row.peak_rss_mb or 0:,.0f}",
        _equal(row),
        "-" if row.gflops is None else f"{row.gflops:,.1f}{share}",
        "; ".join(part for part in (stages, *notes) if part) or "-",
    ]


def _equal(row: Row) -> str:
    """yes or no, and to what."""
    said = [("reference", row.equal_to_reference), ("torch", row.equal_to_torch)]
    return ", ".join(f"{'yes' if equal else 'NO'} ({whom})" for whom, equal in said if equal is not None) or "-"
