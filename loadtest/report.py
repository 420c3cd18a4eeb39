"""The report of a run: Markdown with figures beside it, and one HTML file that needs nothing else.

The locust files write it at the end of a run.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest.budgets import READY, Check
from loadtest.circumstances import Circumstances
from loadtest.curves import windows
from loadtest.phases import Episode
from loadtest.timeline import Kind, Measured, Timeline

HEAD = """\
| | count | refused | failed | per second | p50 ms | p95 ms | p99 ms |
|---|---:|---:|---:|---:|---:|---:|---:|
"""
TITLES = {
    "requests": "Requests per second",
    "times": "Times of first pages and triggers, logarithmic",
    "lists": "First pages whose list was fresh, and whose list was ready when it was asked for",
}
TEMPLATE = "report.html.jinja"


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, under which circumstances, and what it was held against."""

    circumstances: Circumstances
    run: Timeline
    checks: Sequence[Check]
    episode: Episode | None = None

    @property
    def verdict(self) -> str:
        """One line."""
        broken = sum(not check.kept for check in self.checks)
        return f"{broken} of {len(self.checks)} budgets broken" if broken else "every budget kept"

    def rows(self) -> list[tuple[str, Measured]]:
        """Requests, then lists by outcome, what was ready, how late rows were sent; each with what it is called."""
        called = {Kind.REQUEST: "", Kind.LIST: "list: ", Kind.MASKING: "list was ", Kind.LATENESS: ""}
        return [
            (prefix + row.name, self.run.measured(row))
            for kind, prefix in called.items()
            for row in self.run.rows(kind)
        ]

    def table(self) -> str:
        """As Markdown."""
        return HEAD + "".join(_line(name, row) for name, row in self.rows())

    def masking(self) -> str:
        """One line: how much of the latency the page's other work has hidden."""
        ready, asked = self.run.count(READY), sum(self.run.count(row) for row in self.run.rows(Kind.MASKING))
        share = f" ({self.run.share(READY):.1%})" if asked else ""
        return f"{ready} of {asked}{share} lists of taken triggers were ready when they were asked for"

    def markdown(self, figures: Sequence[str]) -> str:
        """The page; figures lie beside it as NAME.svg."""
        about = "".join(f"- {name}: {_cell(said)}\n" for name, said in self.circumstances.lines())
        budgets = "| budget of | found | allowed | |\n|---|---|---|---|\n" + "".join(
            f"| {check.what} | {check.found} | {check.budget} | {'kept' if check.kept else '**broken**'} |\n"
            for check in self.checks
        )
        shown = "".join(f"\n{TITLES[name]}:\n\n![{TITLES[name]}]({name}.svg)\n" for name in figures)
        failed = "".join(f"- {_cell(reason)}: {count}\n" for reason, count in self.run.reasons.most_common())
        failed = f"\nWhat failed:\n\n{failed}" if failed else ""
        head = f"# Load: {self.circumstances.scenario}\n\n{self.verdict}; {self.masking()}.\n\n{about}"
        return f"{head}\n{self.table()}\n{budgets}{failed}{shown}"

    def html(self, figures: dict[str, str]) -> str:
        """The same in one file: figures are part of it, no script, nothing from elsewhere."""
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        pictures = [
            (TITLES[name], "data:image/svg+xml;base64," + b64encode(svg.encode()).decode())
            for name, svg in figures.items()
        ]
        return environment.get_template(TEMPLATE).render(report=self, pictures=pictures)

    def write(self, out: Path) -> list[Path]:
        """report.md, report.html and the figures into `out`; which files were written.  Raises OSError.

        Without matplotlib there are no figures.
        """
        out.mkdir(parents=True, exist_ok=True)
        figures = self._figures()
        texts = {f"{name}.svg": svg for name, svg in figures.items()}
        texts |= {"report.md": self.markdown(list(figures)), "report.html": self.html(figures)}
        for name, text in texts.items():
            (out / name).write_text(text)
        return [out / name for name in texts]

    def _figures(self) -> dict[str, str]:
        if find_spec("matplotlib") is None:
            return {}
        # Imported here: matplotlib takes a second, and most runs want no figures.
        from loadtest.figures import draw

        return draw(windows(self.run), self.episode)


def _line(name: str, row: Measured) -> str:
    times = f"{row.p50_ms:.1f} | {row.p95_ms:.1f} | {row.p99_ms:.1f}"
    return f"| {_cell(name)} | {row.count} | {row.refused} | {row.failures} | {row.per_second:.1f} | {times} |\n"


def _cell(text: str) -> str:
    """Text that cannot end its cell or its line, nor begin a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
