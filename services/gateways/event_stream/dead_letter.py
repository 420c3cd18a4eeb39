"""A delivery as a dead letter; every adapter's `bury` writes this."""

from __future__ import annotations

from contracts.messages import DeadLetter
from services.gateways.event_stream.port import Delivery

LONGEST_REASON = 1000


def dead_letter(delivery: Delivery, group: str, reason: str, now_ms: int) -> bytes:
    """JSON of a DeadLetter.  Bytes of the payload that are no UTF-8 are kept as backslash escapes."""
    letter = DeadLetter(
        topic=delivery.topic,
        group=group,
        key=delivery.key,
        payload=delivery.payload.decode(errors="backslashreplace"),
        reason=reason[:LONGEST_REASON],
        attempts=delivery.attempt,
        buried_at=now_ms,
    )
    return letter.model_dump_json().encode()
