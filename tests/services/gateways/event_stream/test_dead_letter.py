"""A dead letter holds the message as it was, whatever bytes it had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import DeadLetter
from services.gateways.event_stream.dead_letter import LONGEST_REASON, dead_letter, original_payload
from services.gateways.event_stream.port import Delivery


@given(st.binary(max_size=300), st.text(max_size=20), st.integers(1, 1000))
def test_the_message_comes_back_byte_for_byte(payload: bytes, key: str, attempt: int) -> None:
    delivery = Delivery("triggers", key.encode(errors="replace").decode(), payload, attempt, "7")
    letter = DeadLetter.model_validate_json(dead_letter(delivery, "precompute", "why", 5))
    assert original_payload(letter) == payload
    assert (letter.attempts, letter.reason, letter.buried_at) == (attempt, "why", 5)


def test_text_is_readable_and_stands_there_once() -> None:
    letter = DeadLetter.model_validate_json(dead_letter(Delivery("triggers", "u", b'{"a": 1}', 1, "7"), "g", "why", 5))
    assert (letter.payload, letter.payload_base64) == ('{"a": 1}', None)


def test_letters_of_before_are_read_as_they_were_meant() -> None:
    old = {"topic": "t", "group": "g", "key": "k", "payload": "p", "reason": "r", "attempts": 1, "buried_at": 1}
    assert original_payload(DeadLetter.model_validate(old)) == b"p"


def test_an_endless_reason_is_cut() -> None:
    letter = dead_letter(Delivery("triggers", "u", b"", 1, "7"), "g", "x" * 5000, 5)
    assert len(DeadLetter.model_validate_json(letter).reason) == LONGEST_REASON
