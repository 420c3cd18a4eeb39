"""What users' last prompts left behind, so that the next one computes only what is new.  Bounded in bytes.

The torch host keeps one.  An entry is replaced whole and never written to: who reads one may go on reading it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import numpy as np

from model.decoding.prefill import Prompt, Start
from model.semantic_id.catalog import Int64s


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """Tokens taken over and tokens computed so far; prompts kept and their bytes now."""

    reused_tokens: int
    computed_tokens: int
    prompts: int
    nbytes: int


class PrefixCache:
    """The newest prompt of each user, the users seen last; 0 bytes keep nothing.  Safe to share by threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()
        self._nbytes = 0
        self._reused = 0
        self._computed = 0
        self._lock = Lock()

    @property
    def figures(self) -> CacheFigures:
        """What it holds and what it has saved."""
        with self._lock:
            return CacheFigures(self._reused, self._computed, len(self._prompts), self._nbytes)

    def start(self, user: str | None, tokens: Int64s) -> Start:
        """How to compute this prompt: with the longest common beginning of the user's last one."""
        with self._lock:
            kept = None if user is None else self._prompts.get(user)
            known = 0 if kept is None else _common(kept.tokens, tokens)
            self._reused += known
            self._computed += len(tokens) - known
            return Start(tokens, kept, known) if known else Start(tokens)

    def keep(self, user: str | None, prompt: Prompt) -> None:
        """Remember a user's prompt; whoever was seen longest ago makes room.  A broken prompt is not kept."""
        if user is None or not prompt.usable or prompt.nbytes > self._max_bytes:
            return
        with self._lock:
            self._forget(user)
            self._prompts[user] = prompt
            self._nbytes += prompt.nbytes
            while self._nbytes > self._max_bytes:
                self._forget(next(iter(self._prompts)))

    def clear(self) -> None:
        """Forget everybody: after new weights no old key is right."""
        with self._lock:
            self._prompts.clear()
            self._nbytes = 0

    def _forget(self, user: str) -> None:
        gone = self._prompts.pop(user, None)
        if gone is not None:
            self._nbytes -= gone.nbytes


def _common(one_T: Int64s, other_T: Int64s) -> int:
    """Length of the common beginning, less than other's: its last token is always computed."""
    most = min(len(one_T), len(other_T) - 1)
    differs = np.flatnonzero(one_T[:most] != other_T[:most])
    return int(differs[0]) if len(differs) else most
