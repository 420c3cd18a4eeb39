"""What can go wrong on a link of ours, before an adapter says it in the words of the error tree."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a call got no answer; a label of metrics."""

    TIMEOUT = "timeout"
    """No answer in time: never sent again, the server may be at it still."""
    LOST = "lost"
    """The connection ended before the answer came."""
    UNREACHABLE = "unreachable"
    """No connection could be made, refused ones tried twice."""
    OPEN = "open"
    """The breaker is open: nobody was asked."""
    BUSY = "busy"
    """More calls in flight than one connection may carry."""
    REFUSED = "refused"
    """The server answered with an error."""


_SENTENCES = {
    Reason.TIMEOUT: "no answer in time",
    Reason.LOST: "cannot connect, or the connection was lost",
    Reason.UNREACHABLE: "cannot connect, or the connection was lost",
    Reason.OPEN: "it did not answer lately, and is not asked until it does",
    Reason.BUSY: "too many calls are waiting for it",
}


class LinkFailed(Exception):
    """A call without a usable answer."""

    def __init__(self, reason: Reason, says: str = "") -> None:
        super().__init__(says or _SENTENCES[reason])
        self.reason = reason
