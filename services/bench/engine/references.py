"""The lists that all others are held against: the naive search in float32, made before anything is timed."""

from __future__ import annotations

from contracts.progress import Progress
from services.bench.engine.cases import Case
from services.bench.engine.entrants import Entrant
from services.bench.engine.field import start_host
from services.bench.engine.flops import Work, direct_flops
from services.bench.engine.lists import Listed
from services.bench.engine.messages import Ask, Search
from services.bench.engine.process import HostLost
from services.bench.engine.shapes import Shape
from services.bench.engine.terms import Outcome, Terms
from services.bench.engine.users import Users

REFERENCE = "reference"
# A second or so on one core.
CHEAP_FLOPS = 2e10
References = dict[tuple[int, Search], Listed]
"""The list of the first user of a case's first turn, by the case's number and the kind of search."""


def make_references(
    terms: Terms, cases: list[Case], entrants: list[Entrant], users: Users, shown: tuple[Progress, Outcome]
) -> References:
    """A list for every search that some host makes of a case.

    Cases that are dear and cost the naive search more than the main one have none: there, hosts are compared with
    each other.
    """
    progress, outcome = shown
    shape = terms.shape
    most = max(_cost(shape, Work(shape.prompt_tokens, shape.beams, shape.lambdas)), CHEAP_FLOPS)
    wanted = [
        (case, search)
        for case in cases
        if _cost(shape, Work(case.lengths[0], case.beams, case.lambdas)) <= most
        for search in sorted({one.search for one in entrants if one.takes(case, shape)})
    ]
    made: References = {}
    progress.begin("reference lists", len(wanted))
    try:
        with start_host(terms, REFERENCE, exact=True) as reference:
            reference.ready()
            for case, search in wanted:
                prompt = case.visit(users, 0).prompts[0]
                found = reference.ask(
                    Ask(search=search, prompts=[prompt.tolist()], beams=case.beams, lambdas=case.lambdas)
                )
                for sent in found.lists:
                    made[case.number, search] = sent.listed()
                progress.advance(1)
    except HostLost as lost:
        outcome.skipped.append((REFERENCE, str(lost)))
    return made


def _cost(shape: Shape, work: Work) -> float:
    return sum(direct_flops(shape.config(), work).values())
