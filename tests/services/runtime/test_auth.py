"""API keys: who is let in, what for, and what is never kept."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadKeyFile, Forbidden, Unauthorized
from services.runtime.auth import ANY_SCOPE, NOBODY, Access, KeyId, Scope
from services.runtime.clock import ManualClock
from services.runtime.key_file import LOOK_EVERY_S, MAX_KEYS, KeyFile, access_by, new_key

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TRIGGER = frozenset({Scope.TRIGGER})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def made(
    path: Path, key_id: str = "a1", secret: str = "s3cret_-x", scopes: tuple[Scope, ...] = (Scope.TRIGGER,)
) -> str:
    return new_key(path, KeyId(key_id), secret, name="shop", scopes=scopes, now=NOW)[1]


def shown(token: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", f"{scheme} {token}".encode("latin-1"))]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_what_its_scope_says(path: Path, clock: ManualClock, scheme: str) -> None:
    token = made(path)
    assert access_by(path, clock).admit(shown(token, scheme), TRIGGER) == "a1"


def test_a_key_without_the_scope_is_forbidden_and_admin_includes_no_other(path: Path, clock: ManualClock) -> None:
    token = made(path, scopes=(Scope.ADMIN,))
    with pytest.raises(Forbidden, match="trigger"):
        access_by(path, clock).admit(shown(token), TRIGGER)


def test_one_of_several_scopes_is_enough(path: Path, clock: ManualClock) -> None:
    token = made(path, scopes=(Scope.METRICS, Scope.TRIGGER))
    assert access_by(path, clock).admit(shown(token), frozenset({Scope.ADMIN, Scope.METRICS})) == "a1"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Basic cmdrOmExOnMzY3JldA==")],
        [(b"authorization", b"Bearer rgk_a1_")],
        [(b"authorization", b"Bearer rgk_a1_s3cret_-")],
        [(b"authorization", b"Bearer rgk_a1_s3cret_-xx")],
        [(b"authorization", b"Bearer rgk_b2_s3cret_-x")],
        [(b"authorization", b"Bearer xyz_a1_s3cret_-x")],
        [(b"authorization", b"Bearer \xff\xfe")],
        [(b"authorization", b"Bearer rgk_a1_" + b"x" * 100_000)],
        [(b"authorization", b"Bearer nonsense"), (b"authorization", b"Bearer rgk_a1_s3cret_-x")],
    ],
)
def test_anything_else_is_refused(path: Path, clock: ManualClock, headers: list[tuple[bytes, bytes]]) -> None:
    made(path)
    with pytest.raises(Unauthorized):
        access_by(path, clock).admit(headers, ANY_SCOPE)


@given(st.binary(max_size=300))
def test_no_header_of_any_shape_gets_in_or_breaks_the_check(value: bytes) -> None:
    class OneKey:
        def current(self) -> dict[str, object]:
            return {}

    with pytest.raises(Unauthorized):
        Access(OneKey()).admit([(b"authorization", value)], ANY_SCOPE)  # type: ignore[arg-type]


def test_without_a_file_everybody_is_let_in() -> None:
    assert access_by(None).admit([], TRIGGER) == NOBODY


def test_the_file_holds_no_secret_and_is_its_owner_s_alone(path: Path) -> None:
    token = made(path)
    text = path.read_text()
    assert "s3cret" not in text
    assert token not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [entry] = KeyFile.read(path).keys
    assert (entry.id, entry.name, entry.scopes, entry.created_at) == ("a1", "shop", (Scope.TRIGGER,), NOW)
    assert [one.name for one in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_whoever_could_read_the_file_still_can_once_a_key_is_made_or_revoked(path: Path) -> None:
    """A container's user, say: it would go on with the keys that it read last."""
    made(path)
    path.chmod(0o644)
    made(path, key_id="b2", secret="other")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    KeyFile.read(path).without_key("a1").write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_a_file_that_was_given_to_another_user_stays_his(path: Path) -> None:
    made(path)
    os.chown(path, 10001, 10002)
    KeyFile.read(path).without_key("a1").write(path)
    now = path.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (10001, 10002, 0o600)


def test_a_key_that_is_revoked_or_new_counts_within_a_second_of_a_running_process(
    path: Path, clock: ManualClock
) -> None:
    old = made(path)
    access = access_by(path, clock)
    new = made(path, key_id="b2", secret="other")
    KeyFile.read(path).without_key("a1").write(path)
    clock.advance(LOOK_EVERY_S)
    assert access.admit(shown(new), TRIGGER) == "b2"
    with pytest.raises(Unauthorized):
        access.admit(shown(old), TRIGGER)


def test_a_file_that_turns_bad_or_goes_away_leaves_the_last_keys_valid(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    token = made(path)
    access = access_by(path, clock)
    path.write_text("{")
    clock.advance(LOOK_EVERY_S)
    assert access.admit(shown(token), TRIGGER) == "a1"
    path.unlink()
    clock.advance(LOOK_EVERY_S)
    assert access.admit(shown(token), TRIGGER) == "a1"
    assert "stay as they were" in caplog.text


ENTRY = {"id": "a1", "name": "", "scopes": ["admin"], "sha256": "0" * 64, "created_at": "2026-11-24T00:00:00Z"}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "file"),
        ("[]", "file"),
        ('{"format": 2, "keys": []}', "format"),
        ('{"format": 1, "secrets": []}', "secrets"),
        (json.dumps({"keys": [ENTRY | {"scopes": ["root"]}]}), "keys.0.scopes.0"),
        (json.dumps({"keys": [ENTRY | {"scopes": []}]}), "keys.0.scopes"),
        (json.dumps({"keys": [ENTRY | {"sha256": "x"}]}), "keys.0.sha256"),
        (json.dumps({"keys": [ENTRY | {"id": "A_1"}]}), "keys.0.id"),
        (json.dumps({"keys": [ENTRY, ENTRY]}), "keys"),
        (json.dumps({"keys": [ENTRY | {"id": f"k{n}"} for n in range(MAX_KEYS + 1)]}), "keys"),
    ],
)
def test_a_bad_file_is_refused_by_the_place(path: Path, content: str, place: str) -> None:
    path.write_text(content)
    with pytest.raises(BadKeyFile) as caught:
        KeyFile.read(path)
    assert str(caught.value).startswith(f"{path}: {place}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused_by_its_name(path: Path) -> None:
    with pytest.raises(BadKeyFile, match="cannot be read"):
        access_by(path)


def test_a_full_file_takes_no_more_keys(path: Path) -> None:
    path.write_text(json.dumps({"keys": [ENTRY | {"id": f"k{n}"} for n in range(MAX_KEYS)]}))
    with pytest.raises(BadKeyFile, match="already"):
        made(path)
