"""Messages on the wire: one golden JSON per version, so that an incompatible change fails here.

A golden file is never edited: a new version gets a new file.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.behaviors import Behavior, Level
from contracts.messages import (
    CandidatesComputed,
    DeadLetter,
    InteractionRecorded,
    Message,
    RecentInteraction,
    RequestContext,
    SessionSampled,
    TriggerRequested,
)

GOLDEN = Path(__file__).parent / "golden"

MESSAGES: dict[str, Message] = {
    "trigger_requested.v1": TriggerRequested.model_validate(
        {
            "event_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "user_id": "42",
            "request_id": "r-1",
            "accepted_at": 1_763_769_600_123,
            "scene": "home",
            "recent": (
                RecentInteraction.model_validate(
                    {"item_id": 7, "behavior": Behavior.CLICK, "timestamp": 1_763_769_600_000}
                ),
            ),
            "context": RequestContext(device="mobile"),
        }
    ),
    "interaction_recorded.v1": InteractionRecorded.model_validate(
        {
            "event_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "user_id": "é/漢",
            "item_id": -(2**63),
            "behavior": Behavior.PURCHASE,
            "timestamp": 1_763_769_600_000,
            "request_id": "r-1",
            "position": 3,
            "scene": "home",
        }
    ),
    "candidates_computed.v1": CandidatesComputed.model_validate(
        {
            "event_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "user_id": "42",
            "request_id": "r-1",
            "triggered_at": 1_763_769_600_123,
            "generated_at": 1_763_769_600_180,
            "model_version": "m-1",
            "catalog_version": "c-1",
            "item_ids": (9, 2**63 - 1),
            "stages_ms": {"stream": 2.5, "level2": 31.0},
        }
    ),
    "session_sampled.v1": SessionSampled.model_validate(
        {
            "sample_id": "5f0c1e7be0a4b1b2f6b0c3d4e5f60718",
            "revision": 1,
            "user_id": "42",
            "request_id": "r-1",
            "requested_at": 1_763_769_600_123,
            "newest_event_at": 1_763_769_660_000,
            "scene": "home",
            "device": "mobile",
            "item_ids": (7, 2**63 - 1, 9),
            "levels": (Level.PURCHASE, Level.EXPOSURE, Level.PSEUDO_EXPOSURE),
            "history_item_ids": (3, -(2**63)),
            "history_levels": (Level.CLICK, Level.PURCHASE),
            "model_version": "m-1",
            "catalog_version": "c-1",
        }
    ),
    "dead_letter.v1": DeadLetter(
        topic="triggers",
        group="precompute",
        key="42",
        payload='{"version": 9}',
        reason="BadMessage: no such version",
        attempts=1,
        buried_at=1_763_769_600_123,
    ),
}


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def test_every_message_has_a_golden_file_and_every_golden_file_a_message() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(MESSAGES)
    assert {type(message) for message in MESSAGES.values()} == {
        kind for kind in Message.__subclasses__() if "version" in kind.model_fields
    }


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_written_today_is_what_was_written_then(name: str) -> None:
    assert json.loads(MESSAGES[name].model_dump_json()) == json.loads(golden(name))


@pytest.mark.parametrize("name", MESSAGES)
def test_what_was_written_then_is_read_today(name: str) -> None:
    assert type(MESSAGES[name]).model_validate_json(golden(name)) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_field_that_a_later_writer_adds_is_ignored(name: str) -> None:
    later = json.dumps({**json.loads(golden(name)), "invented_later": {"x": 1}})
    assert type(MESSAGES[name]).model_validate_json(later) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_another_version_is_not_taken_for_this_one(name: str) -> None:
    other = json.dumps({**json.loads(golden(name)), "version": 2})
    with pytest.raises(ValidationError):
        type(MESSAGES[name]).model_validate_json(other)


@pytest.mark.parametrize("name", MESSAGES)
def test_only_what_is_optional_may_be_left_out(name: str) -> None:
    kind, whole = type(MESSAGES[name]), json.loads(golden(name))
    for field, definition in kind.model_fields.items():
        shorter = json.dumps({key: value for key, value in whole.items() if key != field})
        if definition.is_required():
            with pytest.raises(ValidationError):
                kind.model_validate_json(shorter)
        else:
            kind.model_validate_json(shorter)


def test_messages_are_frozen() -> None:
    with pytest.raises(ValidationError):
        MESSAGES["dead_letter.v1"].reason = "another"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "changed",
    [{"levels": [4, 2]}, {"history_levels": [3]}, {"item_ids": [7, 7, 9]}, {"item_ids": [], "levels": []}],
    ids=["levels", "history", "twice", "empty"],
)
def test_a_sample_whose_columns_disagree_is_none(changed: dict[str, object]) -> None:
    whole = json.loads(golden("session_sampled.v1")) | changed
    with pytest.raises(ValidationError):
        SessionSampled.model_validate_json(json.dumps(whole))
