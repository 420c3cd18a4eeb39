"""What the benchmark and the process of one host say to each other: one JSON object a line, over a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from model.semantic_id.catalog import Int64s
from services.bench.engine.lists import Listed
from services.bench.engine.shapes import Dtype

Search = Literal["two_stage", "plain_vocabulary", "plain_allowed"]
"""What is searched for: RankGR's two stages, or a plain beam search on IAP's log p, normalised over what is named."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Message):
    """A host's command line: what to load, how much of the machine is its own, whether torch.compile may be used."""

    host: str
    shape: str
    bundle: Path
    device: str
    dtype: Dtype
    threads: int
    compile: bool = False


class Ask(_Message):
    """Users that come at once; `search` is for hosts that can do more than one.  `lists`: whether to send them.

    users: a name each, by which a host may know somebody again; none: nobody is known.
    """

    kind: Literal["ask"] = "ask"
    search: Search = "two_stage"
    prompts: list[list[int]]
    users: list[str] = []
    beams: tuple[int, ...]
    lambdas: tuple[int, ...]
    lists: bool = True

    def tokens(self) -> list[Int64s]:
        """Each user's prompt."""
        return [np.array(prompt, dtype=np.int64) for prompt in self.prompts]

    def names(self) -> list[str | None]:
        """Each user's name, None for strangers."""
        return [*self.users] if self.users else [None] * len(self.prompts)


class Multiply(_Message):
    """Find out what a plain matrix product reaches in this process, now."""

    kind: Literal["multiply"] = "multiply"


Question = Annotated[Ask | Multiply, Field(discriminator="kind")]


class SentList(_Message):
    """A user's list: codes and scores, best first."""

    codes: list[list[int]]
    score: list[float]

    @classmethod
    def of(cls, listed: Listed) -> SentList:
        """To send it."""
        return cls(codes=listed.codes.tolist(), score=listed.score.tolist())

    def listed(self) -> Listed:
        """As it was."""
        codes = np.array(self.codes, dtype=np.int32).reshape(len(self.score), -1)
        return Listed(codes, np.array(self.score, dtype=np.float64))


class Ready(_Message):
    """The host is loaded; `about`: versions and settings worth printing."""

    kind: Literal["ready"] = "ready"
    about: dict[str, str]


class Found(_Message):
    """How long all users of an Ask took together, and what they got.

    stages_ms: of all users together; peak and growth of the process tree's resident memory while it decoded;
    device_mb: peak of the accelerator's memory; counts: of all users together, as `DecodeResult.counts` has them;
    extrapolated: only a part was computed, and the times were scaled up.
    """

    kind: Literal["found"] = "found"
    seconds: float
    stages_ms: dict[str, float]
    lists: list[SentList] = []
    peak_rss_mb: float
    grown_mb: float
    device_mb: float | None = None
    counts: dict[str, int] = {}
    extrapolated: bool = False


class Multiplied(_Message):
    """Floating-point operations per second of a plain matrix product."""

    kind: Literal["multiplied"] = "multiplied"
    flops: float


class Failed(_Message):
    """The host cannot do this: one line that says why."""

    kind: Literal["failed"] = "failed"
    why: str


Answer = Annotated[Ready | Found | Multiplied | Failed, Field(discriminator="kind")]
