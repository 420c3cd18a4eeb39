"""A delivery as a dead letter, and back; every adapter's `bury` writes this, `replay` reads it."""

from __future__ import annotations

import base64

from contracts.messages import DeadLetter
from services.gateways.event_stream.port import Delivery

LONGEST_REASON = 1000


def dead_letter(delivery: Delivery, group: str, reason: str, now_ms: int) -> bytes:
    """JSON of a DeadLetter.  A payload that is no UTF-8 is shown with backslash escapes, and kept as it was beside."""
    text = delivery.payload.decode(errors="backslashreplace")
    exact = text.encode() == delivery.payload
    letter = DeadLetter(
        topic=delivery.topic,
        group=group,
        key=delivery.key,
        payload=text,
        payload_base64=None if exact else base64.b64encode(delivery.payload).decode(),
        reason=reason[:LONGEST_REASON],
        attempts=delivery.attempt,
        buried_at=now_ms,
    )
    return letter.model_dump_json().encode()


def original_payload(letter: DeadLetter) -> bytes:
    """The message as it was."""
    if letter.payload_base64 is not None:
        return base64.b64decode(letter.payload_base64)
    return letter.payload.encode()
