"""How semantic ids are made: every choice, checked at its birth (docs/semantic-ids.md says what each does)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from math import inf, prod
from typing import Literal, TypedDict, get_args

from contracts.behaviors import Level
from contracts.errors import BadRequest

Method = Literal["rkmeans", "rqvae"]
Items = Literal["all", "seen"]
LastLevel = Literal["nearest", "popularity"]
METHODS: tuple[Method, ...] = get_args(Method)
ITEMS: tuple[Items, ...] = get_args(Items)
LAST_LEVELS: tuple[LastLevel, ...] = get_args(LastLevel)
HISTORY_LEVELS = {level.name.lower(): level for level in (Level.EXPOSURE, Level.CLICK, Level.PURCHASE)}
# Codes become tokens and int32s; far beyond any codebook in use.
LARGEST_LEVEL = 2**20
MOST_PLACES = 2**62


@dataclass(frozen=True, slots=True)
class RqVaeSettings:
    """How an RQ-VAE is trained (arXiv 2509.20904, methods in docs/semantic-ids.md).

    latent, hidden: dimensions of the space codes are chosen in, and of the layer before it.  steps: optimiser steps, of
    which the first `warm_up` train without codes.  contrast: share of the steps that take a batch of co-occurring
    pairs instead of a reconstruction; contrast_weight: of its loss.  sinkhorn: temperature of the balanced
    assignment, found in `sinkhorn_rounds`; 0 assigns to the nearest.  restart_every: steps after which a code that was
    nearest to nothing is moved.
    """

    latent: int = 64
    hidden: int = 256
    steps: int = 2_000
    warm_up: int = 200
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    commitment: float = 0.5
    contrast: float = 0.5
    contrast_weight: float = 0.3
    sinkhorn: float = 0.05
    sinkhorn_rounds: int = 20
    restart_every: int = 100

    def __post_init__(self) -> None:
        _positive(self, "latent", "hidden", "steps", "batch", "learning_rate", "sinkhorn_rounds", "restart_every")
        _within(self, "warm_up", 0, self.steps)
        _within(self, "contrast", 0.0, 1.0)
        _within(self, "contrast_weight", 0.0, 1e6)
        _within(self, "sinkhorn", 0.0, 1e3)
        _within(self, "weight_decay", 0.0, 1.0)
        _within(self, "commitment", 0.0, 1e3)


@dataclass(frozen=True, slots=True)
class SidSettings:
    """Raises BadRequest, naming the setting, for values that make no ids.

    level_sizes: codes per level, coarse to fine.  last_level: `popularity` makes the last code an item's rank among
    those of its prefix, 0 for what most training users were shown or wanted.  cap: items per id, 1 makes ids unique.
    dims: of an item's feature vector.  text_share: of a vector's squared length, the part that the text has beside
    co-occurrence.  window: how far apart two items of a history may stand to co-occur, among events of `history_level`
    or more.  items: `seen` leaves out those that no training row shows.  most_items: at most so many, most seen before
    others; 0 for no limit.
    hold_out: each user's last training request counts as validation: nothing learns from it, the report asks it.
    """

    method: Method = "rkmeans"
    level_sizes: tuple[int, ...] = (256, 256)
    last_level: LastLevel = "nearest"
    cap: int = 1
    dims: int = 64
    text_share: float = 0.5
    window: int = 5
    history_level: Level = Level.CLICK
    items: Items = "all"
    most_items: int = 0
    hold_out: bool = False
    seed: int = 0
    rqvae: RqVaeSettings = field(default_factory=RqVaeSettings)

    def __post_init__(self) -> None:
        if not self.level_sizes:
            raise BadRequest("levels: at least one is needed")
        for level, size in enumerate(self.level_sizes, start=1):
            if size == 1:
                raise BadRequest(f"levels: level {level} has 1 code, which tells no items apart: leave it out")
            if not 1 < size <= LARGEST_LEVEL:
                raise BadRequest(f"levels: level {level} has {size} codes, 2 to {LARGEST_LEVEL} are possible")
        if self.last_level == "popularity" and (self.method != "rkmeans" or len(self.level_sizes) == 1):
            raise BadRequest(
                "last_level: popularity ranks what a residual k-means of two levels or more leaves together"
            )
        _positive(self, "cap", "dims", "window")
        _within(self, "text_share", 0.0, 1.0)
        _within(self, "most_items", 0, 2**40)
        if self.places > MOST_PLACES:
            raise BadRequest(f"levels: {len(self.level_sizes)} levels make more ids than can be counted")

    @property
    def places(self) -> int:
        """Items that fit under the cap."""
        return prod(self.level_sizes) * self.cap

    def as_json(self) -> dict[str, str | int | float | bool | list[int] | None]:
        """As a manifest keeps it; what only the other method reads is left out."""
        content = {name: value for name, value in asdict(self).items() if name != "rqvae"}
        content |= {"level_sizes": list(self.level_sizes), "history_level": self.history_level.name.lower()}
        if self.method == "rqvae":
            content |= {f"rqvae_{name}": value for name, value in asdict(self.rqvae).items()}
        return content


class GivenSettings(TypedDict):
    """What the command line knows of the settings: names and texts as a person gives them."""

    method: str
    levels: str
    last_level: str
    cap: int
    dims: int
    text_share: float
    window: int
    history: str
    items: str
    most_items: int
    hold_out: bool
    rqvae: str
    seed: int


def read_settings(given: GivenSettings) -> SidSettings:
    """Typed settings.  Raises BadRequest, whose line begins with the name of what is wrong."""
    if given["items"] not in ITEMS:
        raise BadRequest(f"items: {given['items']!r} is none of {', '.join(ITEMS)}")
    if given["last_level"] not in LAST_LEVELS:
        raise BadRequest(f"last_level: {given['last_level']!r} is none of {', '.join(LAST_LEVELS)}")
    if given["history"] not in HISTORY_LEVELS:
        raise BadRequest(f"history: {given['history']!r} is none of {', '.join(HISTORY_LEVELS)}")
    return SidSettings(
        method=check_method(given["method"]),
        level_sizes=parse_levels(given["levels"]),
        last_level=given["last_level"],
        cap=given["cap"],
        dims=given["dims"],
        text_share=given["text_share"],
        window=given["window"],
        history_level=HISTORY_LEVELS[given["history"]],
        items=given["items"],
        most_items=given["most_items"],
        hold_out=given["hold_out"],
        seed=given["seed"],
        rqvae=parse_rqvae(given["rqvae"]),
    )


def check_method(name: str) -> Method:
    """The method of this name.  Raises BadRequest where there is none."""
    if name not in METHODS:
        raise BadRequest(f"method: {name!r} is none of {', '.join(METHODS)}")
    return name


def parse_rqvae(text: str) -> RqVaeSettings:
    """`steps=3000,latent=64` over the defaults.  Raises BadRequest for a name or value that is none."""
    kinds = {each.name: type(each.default) for each in fields(RqVaeSettings)}
    changes: dict[str, int | float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in kinds:
            raise BadRequest(f"rqvae: {name!r} is none of {', '.join(kinds)}")
        try:
            changes[name] = int(value) if kinds[name] is int else float(value)
        except ValueError:
            raise BadRequest(f"rqvae: {value!r} is no value for {name}") from None
    try:
        return replace(RqVaeSettings(), **changes)  # type: ignore[arg-type]
    except BadRequest as error:
        raise BadRequest(f"rqvae: {error}") from error


def parse_levels(text: str) -> tuple[int, ...]:
    """`2x256` (levels x codes) or `1024,4096,32768` (codes of each) as codes per level.  Raises BadRequest."""
    many, times, size = text.strip().lower().partition("x")
    parts = [part.strip() for part in ([size] * int(many) if times and _short_number(many) else text.split(","))]
    if not parts or not all(_number(part) for part in parts):
        raise BadRequest(f"levels: {text!r} is neither LEVELSxCODES like 2x256 nor a list like 1024,4096")
    return tuple(map(int, parts))


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _short_number(text: str) -> bool:
    return _number(text.strip()) and int(text) <= 64


def _positive(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < inf:
            raise BadRequest(f"{name}: {value} is not above 0")


def _within(settings: object, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value <= high:
        raise BadRequest(f"{name}: {value} does not lie in {low} to {high}")
