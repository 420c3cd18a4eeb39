"""The hosts that take part, each in its process; one that fails is taken out, with its reason."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from contracts.progress import Progress
from services.bench.engine.cases import Case
from services.bench.engine.entrants import Entrant
from services.bench.engine.messages import Ask, Found, Start
from services.bench.engine.process import HostLost, HostProcess
from services.bench.engine.terms import Outcome, Terms


def start_host(terms: Terms, host: str, *, exact: bool = False) -> HostProcess:
    """The process of one host; exact: in float32, whatever the shape says."""
    start = Start(
        host=host,
        shape=terms.shape.name,
        bundle=terms.bundle,
        device=terms.device,
        dtype="float32" if exact else terms.shape.dtype,
        threads=terms.threads,
        compile=terms.compile,
    )
    return HostProcess(start, terms.logs / f"{host}.log", terms.environment)


class Field:
    """A context manager: the processes end with it."""

    def __init__(self, terms: Terms, outcome: Outcome) -> None:
        self._terms = terms
        self._outcome = outcome
        self._hosts: dict[str, tuple[Entrant, HostProcess]] = {}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def load(self, entrants: list[Entrant], progress: Progress) -> None:
        """Start every host and wait until it is ready."""
        progress.begin("loading hosts", len(entrants))
        for entrant in entrants:
            progress.advance(1, entrant.name)
            if entrant.lacks is not None:
                self._outcome.skipped.append((entrant.name, f"{entrant.lacks} is not installed"))
                continue
            host = self._running.enter_context(start_host(self._terms, entrant.name))
            try:
                self._outcome.about[entrant.name] = host.ready()
            except HostLost as lost:
                self._outcome.skipped.append((entrant.name, str(lost)))
                host.close()
            else:
                self._hosts[entrant.name] = (entrant, host)

    def takers(self, case: Case) -> list[Entrant]:
        """Who is still there and can be asked this."""
        return [entrant for entrant, _ in self._hosts.values() if entrant.takes(case, self._terms.shape)]

    @property
    def entrants(self) -> list[Entrant]:
        """Who is still there."""
        return [entrant for entrant, _ in self._hosts.values()]

    def ask(self, name: str, question: Ask) -> Found | None:
        """The host's answer; None where it has dropped out, now or before."""
        if name not in self._hosts:
            return None
        try:
            return self._hosts[name][1].ask(question)
        except HostLost as lost:
            self._drop(name, lost)
            return None

    def multiply(self) -> float | None:
        """A plain matrix product, in the process of the first host that computes in torch here."""
        for entrant in self.entrants:
            if not entrant.multiplies:
                continue
            try:
                return self._hosts[entrant.name][1].multiply()
            except HostLost as lost:
                self._drop(entrant.name, lost)
        return None

    def _drop(self, name: str, lost: HostLost) -> None:
        self._outcome.skipped.append((name, str(lost)))
        self._hosts.pop(name)[1].close()
