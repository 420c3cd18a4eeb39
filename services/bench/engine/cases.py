"""What is asked of the hosts: users at once, mixed prompts, a user who is back, curves over prompt, beams, lambda."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from model.semantic_id.catalog import Int64s
from services.bench.engine.shapes import Shape
from services.bench.engine.users import Users

Kind = Literal["users", "mixed", "repeat", "prompt", "beams", "lambda", "equal", "plain"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Widths at which both levels are equal: all that a host built on one beam width can do.
EQUAL_WIDTHS = (16, 64)
MIXED_USERS = 8
MIXED_PARTS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Users who come at once; `before`: what the one of them came with earlier, unmeasured."""

    names: list[str]
    prompts: list[Int64s]
    before: list[Int64s]


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table; `number` is its own, and names its users.  lengths: prompt tokens of each user.

    items: history and new items of a user who is back, in place of a length.
    """

    kind: Kind
    number: int
    lengths: tuple[int, ...]
    beams: tuple[int, ...]
    lambdas: tuple[int, ...]
    items: tuple[int, int] | None = None

    @property
    def users(self) -> int:
        """How many come at once."""
        return len(self.lengths)

    @property
    def is_main(self) -> bool:
        """One user at full widths."""
        return self.number == 0

    @property
    def title(self) -> str:
        """For people who watch."""
        width = "/".join(map(str, self.beams))
        return f"{self.kind}: {self.users} x {max(self.lengths)} tokens, beams {width}, lambda {self.lambdas[-1]}"

    @property
    def reusable(self) -> int:
        """Prompt tokens that were there at the user's last visit."""
        return 0 if self.items is None else self.items[0] * len(self.beams)

    def visit(self, users: Users, turn: int) -> Visit:
        """Who comes in this turn: nobody who came in another, so that no cache holds more than it would in life."""
        if self.items is not None:
            past, new = self.items
            name = (self.number, turn, 0)
            return Visit([_spelt(name)], [users.of_items(name, past + new)], [users.of_items(name, past)])
        names = [(self.number, turn, place) for place, _ in enumerate(self.lengths)]
        prompts = [users.prompt(name, length) for name, length in zip(names, self.lengths, strict=True)]
        return Visit([_spelt(name) for name in names], prompts, [])


def cases_of(shape: Shape, at_once: tuple[int, ...], *, quick: bool) -> list[Case]:
    """All cases of a shape; the main one, one user at full widths, comes first and is a point of every curve.

    quick: the ends of each curve.
    """
    longest, beams, lambdas, levels = shape.prompt_tokens, shape.beams, shape.lambdas, len(shape.beams)
    parts = [longest // part // levels * levels for part in MIXED_PARTS] * (MIXED_USERS // len(MIXED_PARTS))
    # A beam is never wider than the candidates it is chosen from.
    equal = dict.fromkeys(min(width, *lambdas) for width in EQUAL_WIDTHS)
    plain = shape.plain_beam_widths[:1] if quick else shape.plain_beam_widths
    wanted: list[tuple[Kind, tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
        *(("users", (longest,) * many, beams, lambdas) for many in dict.fromkeys((1, *at_once))),
        ("mixed", tuple(parts), beams, lambdas),
        *(("prompt", (length,), beams, lambdas) for length in _points(shape.prompt_points, quick)),
        *(("beams", (longest,), (width, *beams[1:]), lambdas) for width in _points(shape.beam_points, quick)),
        *(("lambda", (longest,), beams, (*lambdas[:-1], most)) for most in _points(shape.lambda_points, quick)),
        *(("equal", (longest,), (width,) * levels, lambdas) for width in _points(tuple(equal), quick)),
        *(("plain", (longest,), (width,) * levels, lambdas) for width in plain),
    ]
    main = wanted[0]
    cases = [
        Case(kind, number, lengths, beams_of, lambdas_of)
        for number, (kind, lengths, beams_of, lambdas_of) in enumerate(wanted)
        if number == 0 or (lengths, beams_of, lambdas_of) != main[1:]
    ]
    back = (shape.history_items, shape.new_items)
    tokens = sum(back) * levels + shape.prompt_format().context_length
    return [*cases, Case("repeat", len(wanted), (tokens,), beams, lambdas, items=back)]


def _spelt(name: tuple[int, ...]) -> str:
    return "-".join(map(str, name))


def _points(points: tuple[int, ...], quick: bool) -> tuple[int, ...]:
    return points[:: max(1, len(points) - 1)] if quick else points
