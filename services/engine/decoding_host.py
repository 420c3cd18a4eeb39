"""Where prompts are decoded: the one port that the use case knows, whichever engine stands behind it.

`micro_batches` meets it with a decoder in this process, `vllm_host` with vLLM's own queue and scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.decoding.request import DecodeRequest, DecodeResult


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A result, and how long its request waited for its turn."""

    result: DecodeResult
    queue_ms: float


class DecodingHost(Protocol):
    """Decodes the prompts of concurrent callers, some of them together; all calls come from one event loop.

    A caller that is cancelled or out of time frees its place; a bad request spoils only itself.
    """

    @property
    def waiting(self) -> int:
        """How many requests have not started."""
        ...

    @property
    def running(self) -> bool:
        """Whether requests are being taken; False for good once the host is lost."""
        ...

    async def start(self) -> None:
        """Begin to work.  Raises EngineDown, or BadBundle where this host cannot decode such a model."""
        ...

    async def stop(self) -> None:
        """End; whoever still waits is told EngineDown."""
        ...

    async def decode(self, request: DecodeRequest, deadline_ms: int) -> Decoded:
        """The result of one request.

        Raises EngineBusy, DeadlineExceeded, EngineDown; for this request alone BadRequest, PromptTooLong,
        UnknownToken, EngineFailed.
        """
        ...
