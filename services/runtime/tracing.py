"""Traces that follow one request from trigger through stream and engine to the store: the part that is always there.

Verbs and adapters open spans and ask for `traceparent`; mains choose what becomes of them (trace_export.py).  Without
traces a span costs a tenth of a microsecond.  Context travels as W3C traceparent: a header, a field of messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol

HEADER = "traceparent"

_FORM = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_NOTHING: nullcontext[None] = nullcontext()

About = Mapping[str, str | float]
NO_WORD: About = {}

HERE: ContextVar[str | None] = ContextVar("rankgr_traceparent", default=None)
"""The span that is open in this task; spans set it."""


class Traces(Protocol):
    """Where spans go."""

    def span(
        self, name: str, about: About = NO_WORD, *, parent: str | None = None, began_at: int | None = None
    ) -> AbstractContextManager[None]:
        """A span for the time inside the block; below `parent`, else below the one that is open here, else a new trace.

        `began_at` in Unix milliseconds, where it began before the block.  `about` holds ids and numbers, never what
        a user did.
        """
        ...

    def close(self) -> None:
        """Send what is still held."""
        ...


class Untraced:
    """No traces."""

    __slots__ = ()

    def span(
        self,
        name: str,  # noqa: ARG002 - the protocol's names
        about: About = NO_WORD,  # noqa: ARG002
        *,
        parent: str | None = None,  # noqa: ARG002
        began_at: int | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """See the protocol."""
        return _NOTHING

    def close(self) -> None:
        """Nothing is held."""


def traceparent() -> str | None:
    """What to hand on to the next process; None where nothing is traced."""
    return HERE.get()


def readable(text: str | None) -> str | None:
    """The traceparent if it is one: what strangers send is no reason to refuse their request."""
    return text if text is not None and _FORM.fullmatch(text) else None
