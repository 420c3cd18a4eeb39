"""Everything that can go wrong, as one closed tree; whether a retry may help is data.

RankGRError
|- BadInput               the caller's fault, final
|  |- BadDataSet          a data directory that cannot be read as one
|  |- BadBundle           a bundle that is damaged, foreign or inconsistent
|  |- NoSuchBundle        a version that the bundle store does not have
|  |- BundleRefused       a bundle that the gate does not let through
|  |- ItemsRefused        items that cannot join or leave a catalogue
|  |- BadRequest          a request whose values make no sense together
|  |- BadCursor           a paging cursor that is damaged or another user's
|  |- PromptTooLong, UnknownToken
|  |- CatalogMismatch     tokens or a filter made for another catalogue than the engine's
|  |- NothingToRecommend  exclusions and filter leave no item
|  |- BadMessage          a stream message that is no known event (poison)
|  |- BadKeyFile          a file of API keys that cannot be read as one
|  |- BadResults          measurements that cannot be read, or not be compared with each other
|- NotAllowed             who asks may not
|  |- Unauthorized        no API key, or none that this service knows
|  |- Forbidden           a key without the scope that is needed
|- PointerMoved           somebody else moved a channel of the bundle store first
|- CursorGone             the list that a cursor pages through is no longer kept
|- Unavailable            a dependency is down, retriable
|  |- StoreDown, StreamDown, EngineDown, BundleStoreDown
|     |- StreamBusy        too many events are on their way already
|- Overloaded             too much is waiting, retriable later
|  |- EngineBusy
|  |- RateLimited         more requests than one user or key may make
|  |- NoPlace             it was not its turn: nothing was tried, so nothing failed
|- DeadlineExceeded       the answer would come too late
|- KeptSetFailed          the hidden items kept on disk cannot be read or written; the store has them still
|- TrainingStuck          step after step would have ruined the weights, final
|- EngineFailed           the model computed nonsense (NaN) for this request, final
"""

from __future__ import annotations

from typing import ClassVar


class RankGRError(Exception):
    """Root.  `retriable` says whether the same call may succeed later without change.

    `tried` is False where nothing was attempted: such a call may come again as often as it takes.
    """

    retriable: ClassVar[bool] = False
    tried: ClassVar[bool] = True


class BadInput(RankGRError):
    """The caller's fault: the same call fails again."""


class BadDataSet(BadInput):
    """A data directory that cannot be read as a data set."""


class BadBundle(BadInput):
    """A bundle that is damaged, foreign or inconsistent."""


class NoSuchBundle(BadInput):
    """A version that the bundle store does not have, or no longer has."""


class BundleRefused(BadInput):
    """A bundle that the gate does not let through; the message is the reason."""


class ItemsRefused(BadInput):
    """Items that cannot join or leave a catalogue; `lines` has one line for each."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__(lines[0] if len(lines) == 1 else f"{lines[0]} (and {len(lines) - 1} more)")
        self.lines = lines


class BadRequest(BadInput):
    """A request whose values make no sense; the message names the field."""


class BadCursor(BadInput):
    """A paging cursor that is damaged or belongs to another user."""


class PromptTooLong(BadInput):
    """More prompt tokens than the model has positions for."""

    def __init__(self, tokens: int, most: int) -> None:
        super().__init__(f"the prompt has {tokens} tokens, the model takes at most {most}")


class UnknownToken(BadInput):
    """A prompt token outside the vocabulary."""

    def __init__(self, token: int, vocabulary: int) -> None:
        super().__init__(f"token {token} is outside the vocabulary of {vocabulary}")


class CatalogMismatch(BadInput):
    """Tokens or a filter that were made for another catalogue: they would mean other items."""

    served: str | None = None
    """What is served instead, where that is known."""

    def __init__(self, asked: str, served: str) -> None:
        super().__init__(f"catalog_version: the request was made for {asked}, this engine serves {served}")
        self.served = served


class NothingToRecommend(BadInput):
    """Exclusions and filter leave no item, or the catalogue has none."""


class BadMessage(BadInput):
    """A stream message that is no known event."""


class BadKeyFile(BadInput):
    """A file of API keys that cannot be read as one."""


class BadConfig(BadInput):
    """A training configuration that cannot be read, or that asks for what cannot be."""


class BadResults(BadInput):
    """Kept measurements that cannot be read as such, or that do not belong together."""


class NotAllowed(RankGRError):
    """Whoever asks may not."""


class Unauthorized(NotAllowed):
    """No API key, or none that this service knows."""


class Forbidden(NotAllowed):
    """A key without the scope that is needed."""


class PointerMoved(RankGRError):
    """Somebody else moved a channel of the bundle store first; look at what stands there now before trying again."""


class CursorGone(RankGRError):
    """The list a cursor pages through is no longer kept; start again."""


class Unavailable(RankGRError):
    """A dependency does not answer."""

    retriable = True


class StoreDown(Unavailable):
    """The candidate, history or ledger store does not answer."""


class BundleStoreDown(Unavailable):
    """The bundle store does not answer, or does not take what is written: its disk is full, for one."""


class StreamDown(Unavailable):
    """The event stream does not answer."""


class StreamBusy(StreamDown):
    """So many events are on their way that no further one is taken: the stream is too slow, or not there."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"too many events are on their way to the stream: {waiting}")


class EngineDown(Unavailable):
    """The inference engine does not answer."""


class Overloaded(RankGRError):
    """Too much is waiting already; `retry_after_s` is when to come again."""

    retriable = True
    retry_after_s: float = 1.0


class EngineBusy(Overloaded):
    """The engine's queue is full; `retry_after_s` is when what waits now should have started."""

    def __init__(self, waiting: int, retry_after_s: float = 1.0) -> None:
        super().__init__(f"the engine's queue is full: {waiting} requests waiting")
        self.waiting = waiting
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    """More requests than one user or key may make; `retry_after_s` says when the next one is let through."""

    def __init__(self, whose: str, retry_after_s: float) -> None:
        super().__init__(f"too many requests of this {whose}: the next one in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class NoPlace(Overloaded):
    """It was not its turn, so nothing was tried; it may come again as often as it takes."""

    tried = False


class DeadlineExceeded(RankGRError):
    """The answer would come after its deadline."""


class KeptSetFailed(RankGRError):
    """What a process keeps on disk for its next start is damaged, or cannot be kept."""


class TrainingStuck(RankGRError):
    """So many steps in a row were skipped that going on makes no sense; a person has to look."""

    def __init__(self, steps: int, why: str) -> None:
        super().__init__(f"training ends: {steps} steps in a row were skipped, the last one for its {why}")


class EngineFailed(RankGRError):
    """The model computed no usable scores for this request."""
