"""Which hosts there are, what each can be asked, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from services.bench.engine.cases import Case, Kind
from services.bench.engine.messages import Search
from services.bench.engine.shapes import Shape

TWO_STAGE: frozenset[Kind] = frozenset({"users", "mixed", "repeat", "prompt", "beams", "lambda", "equal"})
# generate() copies the prompt once per beam before it reads it: so much for its layers' activations, and no more.
HF_BYTES = 2.5e9


@dataclass(frozen=True, slots=True)
class Entrant:
    """A host by name.

    most_users: at once; turns: at most so many of each case, None: all; direct: whether it computes the naive form;
    multiplies: whether it can be asked for a plain matrix product; needs: packages.
    """

    name: str
    kinds: frozenset[Kind]
    search: Search = "two_stage"
    most_users: int | None = None
    turns: int | None = None
    direct: bool = False
    multiplies: bool = True
    needs: tuple[str, ...] = ()

    def takes(self, case: Case, shape: Shape) -> bool:
        """Whether it is asked this."""
        if case.kind not in self.kinds or (self.most_users is not None and case.users > self.most_users):
            return False
        return self.name != "hf_beam_search" or hf_bytes(case, shape) <= HF_BYTES

    @property
    def lacks(self) -> str | None:
        """The first package it needs that is not installed."""
        return next((package for package in self.needs if find_spec(package) is None), None)


def hf_bytes(case: Case, shape: Shape) -> float:
    """About what `generate` holds while it reads the prompt, once per beam."""
    number = 4 if shape.dtype == "float32" else 2
    return case.beams[0] * max(case.lengths) * (2 * shape.intermediate_size + 4 * shape.hidden_size) * number


ENTRANTS = {
    entrant.name: entrant
    for entrant in (
        Entrant("torch", TWO_STAGE),
        Entrant("vllm", TWO_STAGE, multiplies=False, needs=("vllm",)),
        Entrant(
            "vllm_logits_processor",
            frozenset({"users", "equal"}),
            most_users=1,
            turns=2,
            multiplies=False,
            needs=("vllm",),
        ),
        Entrant(
            "vllm_beam_search",
            frozenset({"plain"}),
            search="plain_allowed",
            most_users=1,
            turns=2,
            multiplies=False,
            needs=("vllm",),
        ),
        Entrant("naive_rsp", frozenset({"users"}), most_users=1, turns=1, direct=True),
        Entrant(
            "hf_beam_search",
            frozenset({"plain"}),
            search="plain_vocabulary",
            most_users=1,
            turns=1,
            needs=("transformers",),
        ),
    )
}
COMMAND = "reference_command"
