"""The benchmark itself: references first, then all hosts loaded, then every case in turns, host after host.

Turns alternate (A B A B ..), so that a machine that slows down slows everybody; a host that fails drops out with
one line, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.progress import Progress
from model.semantic_id.catalog import Int64s
from services.bench.engine.cases import Case, Visit
from services.bench.engine.command import Timed
from services.bench.engine.entrants import COMMAND, Entrant
from services.bench.engine.field import Field
from services.bench.engine.flops import Work, direct_flops, two_stage_flops
from services.bench.engine.iap_cut import IapCut
from services.bench.engine.lists import PLAIN_TOLERANCE, SCORE_TOLERANCE, Difference, Listed, compare
from services.bench.engine.messages import Ask, Found
from services.bench.engine.process import HostLost
from services.bench.engine.references import References, make_references
from services.bench.engine.tally import Tally
from services.bench.engine.terms import Outcome, Terms
from services.bench.engine.users import Users

TORCH = "torch"
# No turn of a case has this number: its users warm the hosts up.
WARM_UP = 1_000_000


@dataclass(slots=True, eq=False)
class EngineBench:
    """Runs once.  command: times the reference command once; None: there is none."""

    terms: Terms
    users: Users
    entrants: list[Entrant]
    cases: list[Case]
    progress: Progress
    command: Callable[[], Timed] | None = None
    _outcome: Outcome = field(default_factory=Outcome)
    _references: References = field(default_factory=dict)
    _cut: IapCut = field(init=False)

    def __post_init__(self) -> None:
        self._cut = IapCut(self.terms)

    def __call__(self) -> Outcome:
        """Measure everything; what was started has ended when this returns."""
        shown = self.progress, self._outcome
        self._references = make_references(self.terms, self.cases, self.entrants, self.users, shown)
        tallies: list[Tally] = []
        with Field(self.terms, self._outcome) as hosts:
            hosts.load(self.entrants, self.progress)
            self._warm_up(hosts)
            products = [hosts.multiply()]
            for case in self.cases:
                tallies += self._play(hosts, case)
                products.append(hosts.multiply())
        best = max((product for product in products if product is not None), default=None)
        self._outcome.product_flops = best
        self._outcome.rows += [tally.row(best) for tally in tallies if tally.found]
        return self._outcome

    def _warm_up(self, hosts: Field) -> None:
        """Each host once, with the smallest case it takes."""
        for entrant in hosts.entrants:
            mine = [case for case in self.cases if entrant.takes(case, self.terms.shape)]
            if mine:
                least = min(mine, key=lambda case: (sum(case.lengths), case.beams))
                self._turn(hosts, entrant, least, least.visit(self.users, WARM_UP))

    def _play(self, hosts: Field, case: Case) -> list[Tally]:
        """One case: every host that takes it, in turns."""
        playing = hosts.takers(case)
        tallies = self._tallies(playing, case)
        self.progress.begin(case.title, self.terms.rounds)
        for entrant in playing:
            # Widths that were not seen before may have to be compiled, or fetch memory, first.
            if entrant.turns is None:
                self._turn(hosts, entrant, case, case.visit(self.users, WARM_UP))
        for turn in range(self.terms.rounds):
            visit = case.visit(self.users, turn)
            found = {
                entrant.name: self._turn(hosts, entrant, case, visit)
                for entrant in playing
                if entrant.turns is None or turn < entrant.turns
            }
            if COMMAND in tallies:
                self._time_command(tallies[COMMAND])
            self._take(turn, playing, found, tallies, visit)
            self.progress.advance(1)
        return list(tallies.values())

    def _turn(self, hosts: Field, entrant: Entrant, case: Case, visit: Visit) -> Found | None:
        def asked(prompts: list[list[int]], lists: bool) -> Ask:
            return Ask(
                search=entrant.search,
                prompts=prompts,
                users=visit.names,
                beams=case.beams,
                lambdas=case.lambdas,
                lists=lists,
            )

        for earlier in visit.before:
            hosts.ask(entrant.name, asked([earlier.tolist()], lists=False))
        return hosts.ask(entrant.name, asked([prompt.tolist() for prompt in visit.prompts], lists=True))

    def _time_command(self, tally: Tally) -> None:
        if self.command is None:
            return
        try:
            timed = self.command()
        except HostLost as lost:
            self._outcome.skipped.append((COMMAND, str(lost)))
            self.command = None
            return
        tally.found.append(Found(seconds=timed.ms / 1e3, stages_ms={}, peak_rss_mb=timed.peak_rss_mb, grown_mb=0.0))
        tally.note = "as the program printed it" if timed.printed else "the whole run of the program"

    def _take(
        self,
        turn: int,
        playing: list[Entrant],
        found: dict[str, Found | None],
        tallies: dict[str, Tally],
        visit: Visit,
    ) -> None:
        """Note a turn, and compare its lists: the first user's with the reference, all with the torch host's."""
        lists = {name: [sent.listed() for sent in one.lists] for name, one in found.items() if one is not None}
        for entrant in playing:
            mine, tally, one = lists.get(entrant.name), tallies[entrant.name], found.get(entrant.name)
            if one is not None:
                tally.found.append(one)
            if not mine:
                continue
            wanted = self._references.get((tally.case.number, entrant.search)) if turn == 0 else None
            if wanted is not None:
                tolerance = SCORE_TOLERANCE if entrant.search == "two_stage" else PLAIN_TOLERANCE
                tally.to_reference.append(compare(mine[0], wanted, tolerance))
            if entrant.name != TORCH and entrant.search == "two_stage" and TORCH in lists:
                both = zip(visit.prompts, mine, lists[TORCH], strict=True)
                tally.to_torch += [self._compared(tally.case, *one) for one in both]

    def _compared(self, case: Case, prompt: Int64s, mine: Listed, wanted: Listed) -> Difference:
        found, dtype = compare(mine, wanted), self.terms.shape.dtype
        # A list in half precision is held to the share that it finds again: a tie excuses nothing there.
        if found.within(dtype) or dtype != "float32":
            return found
        return compare(mine, wanted, tied=self._cut.tied(prompt, case.lambdas[0]))

    def _tallies(self, playing: list[Entrant], case: Case) -> dict[str, Tally]:
        dtype = self.terms.shape.dtype
        tallies = {
            entrant.name: Tally(
                entrant.name,
                case,
                dtype,
                self._flops(case, direct=entrant.direct) if entrant.search == "two_stage" else None,
            )
            for entrant in playing
        }
        if self.command is not None and case.is_main:
            tallies[COMMAND] = Tally(COMMAND, case, dtype, self._flops(case))
        return tallies

    def _flops(self, case: Case, *, direct: bool = False) -> float:
        """Operations per user, on average."""
        shape = self.terms.shape
        # At the last level, what the catalogue leaves under a prefix, on average.
        most = (*shape.level_sizes[:-1], round(shape.level_sizes[-1] * shape.density))
        lambdas = tuple(map(min, case.lambdas, most))
        count = direct_flops if direct else two_stage_flops
        works = [Work(length, case.beams, lambdas, reused=case.reusable) for length in case.lengths]
        return sum(sum(count(shape.config(), work).values()) for work in works) / len(works)
