"""`rankgr keys`: made, listed, revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import Unauthorized
from services.runtime.auth import Scope
from services.runtime.key_file import access_by

from .command_line import Run


def admits(path: Path, token: str, scope: Scope) -> bool:
    try:
        access_by(path).admit([(b"authorization", f"Bearer {token}".encode())], frozenset({scope}))
    except Unauthorized:
        return False
    return True


def test_a_new_key_is_printed_once_and_works_until_it_is_revoked(rankgr: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    words = ("--file", path, "--json")
    made = rankgr("keys", "new", "--scopes", "trigger,retrieve", "--name", "shop", *words).content()
    other = rankgr("keys", "new", "--scopes", "admin", *words).content()
    assert admits(path, made["key"], Scope.TRIGGER)
    assert admits(path, other["key"], Scope.ADMIN)
    listed = rankgr("keys", "list", *words).content()["keys"]
    assert [(one["id"], one["name"], one["scopes"]) for one in listed] == [
        (made["id"], "shop", ["trigger", "retrieve"]),
        (other["id"], "", ["admin"]),
    ]
    assert made["key"].split("_", 2)[2] not in path.read_text()
    assert rankgr("keys", "revoke", made["id"], *words).content() == {"revoked": made["id"]}
    assert not admits(path, made["key"], Scope.TRIGGER)
    assert admits(path, other["key"], Scope.ADMIN)


def test_for_people_the_key_stands_alone_on_stdout(
    rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANKGR_API_KEYS_FILE", str(tmp_path / "keys.json"))
    made = rankgr("keys", "new", "--scopes", "metrics")
    assert (made.code, made.err) == (0, "")
    assert admits(tmp_path / "keys.json", made.out.strip(), Scope.METRICS)
    assert "metrics" in rankgr("keys", "list").out


@pytest.mark.parametrize("scopes", ["", "root", "trigger,root", ","])
def test_an_unknown_scope_is_wrong_use(rankgr: Run, tmp_path: Path, scopes: str) -> None:
    refused = rankgr("keys", "new", "--file", tmp_path / "k", "--scopes", scopes)
    assert refused.code == 2
    assert not (tmp_path / "k").exists()


def test_a_key_that_is_not_there_cannot_be_revoked(rankgr: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    rankgr("keys", "new", "--file", path, "--scopes", "admin")
    assert "no key 'zz'" in rankgr("keys", "revoke", "zz", "--file", path).complaint()
    assert "cannot be read" in rankgr("keys", "list", "--file", tmp_path / "none").complaint()
