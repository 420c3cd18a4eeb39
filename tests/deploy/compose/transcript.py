"""What was done and what came of it, as Markdown; and what was not as it should be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import typer

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(slots=True)
class Transcript:
    """Lines in their order, and the failures among them.  Everything is shown as it comes, too."""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def section(self, title: str) -> None:
        """A new heading."""
        self._add("", f"## {title}", "")

    def say(self, text: str) -> None:
        """A sentence."""
        self._add(text, "")

    def row(self, *cells: object) -> None:
        """A line of a table."""
        self._add(f"| {' | '.join(str(cell) for cell in cells)} |")

    def show(self, command: str, output: str) -> None:
        """What was typed, and what came back."""
        body = _COLOURS.sub("", output).replace("```", "'''").strip()
        self._add("```", f"$ {command}", *body.splitlines(), "```", "")

    def check(self, what: str, holds: bool, seen: object = "") -> bool:
        """One line; where it does not hold, the run has failed."""
        told = f" ({seen})" if seen != "" else ""
        self._add(f"- {'ok' if holds else 'FAILED'}: {what}{told}")
        if not holds:
            self.failures.append(f"{what}{told}")
        return holds

    @property
    def text(self) -> str:
        """The file."""
        return "\n".join(self.lines).strip() + "\n"

    def _add(self, *lines: str) -> None:
        self.lines += lines
        typer.echo("\n".join(lines))
