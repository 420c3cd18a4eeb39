"""`rankgr bundles` on a store in a directory: what is there, what is served, forward and back, and each refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.bundle.write import write_bundle

from ...model.bundle.contents import contents
from .command_line import Run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three bundles of the same catalogue and other weights.  Never change them."""
    place = tmp_path_factory.mktemp("made")
    for seed in range(3):
        write_bundle(contents(seed), place / f"b{seed}")
    return [place / f"b{seed}" for seed in range(3)]


@pytest.fixture
def bundles(rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RANKGR_BUNDLE_STORE", str(tmp_path / "store"))
    return lambda *words: rankgr("bundles", *words)


def names(bundles: Run) -> dict[str, list[str]]:
    return {row["version"]: row["names"] for row in bundles("list", "--json").content()["bundles"]}


def test_forward_back_and_what_is_shown(bundles: Run, made: list[Path]) -> None:
    assert bundles("list", "--json").content() == {"bundles": [], "refused": []}
    first = bundles("promote", made[0], "--json").content()
    assert (first["channel"], first["moved"]) == ("latest", True)
    assert not bundles("promote", made[0], "--json").content()["moved"]
    second = bundles("promote", made[1], "--json").content()
    assert names(bundles) == {first["version"]: ["previous"], second["version"]: ["latest"]}
    assert bundles("rollback", "--json").content() == {
        "channel": "latest",
        "was": second["version"],
        "version": first["version"],
    }
    assert names(bundles) == {first["version"]: ["latest"], second["version"]: []}
    assert "nothing" not in bundles("promote", second["version"][:6]).out
    shown = bundles("show", second["model_version"], "--json").content()
    assert shown["manifest"]["model_version"] == second["model_version"]
    assert [(move["channel"], move["kind"]) for move in shown["moves"]] == [("latest", "promote")] * 2
    assert second["version"] in bundles("show").out
    assert "latest" in bundles("list").out


def test_a_canary_goes_first_and_may_be_taken_back(bundles: Run, made: list[Path]) -> None:
    first = bundles("promote", made[0], "--json").content()["version"]
    second = bundles("promote", made[1], "--canary", "--json").content()["version"]
    assert names(bundles) == {first: ["latest"], second: ["canary"]}
    assert bundles("rollback", "--canary", "--json").content() == {"channel": "canary", "was": second, "version": None}
    assert names(bundles)[second] == []
    assert "no canary" in bundles("rollback", "--canary").complaint()
    done = bundles("promote", second, "--canary-for", "0.2", "--json").content()
    assert (done["version"], done["channel"]) == (second, "latest")
    assert names(bundles) == {first: ["previous"], second: ["latest", "canary"]}


def test_what_changed_between_two(bundles: Run, made: list[Path]) -> None:
    bundles("promote", made[0])
    bundles("promote", made[1])
    found = bundles("diff", "previous", "latest", "--json").content()
    assert found["items"] == {"added": 0, "removed": 0, "moved": 0, "common": 8}
    assert found["settings"] == {}
    assert 0 < found["weights"]["model.embed_tokens.weight"] < 10
    same = bundles("diff", made[2], made[2], "--json").content()
    assert (same["weights"], same["settings"], same["metrics"]) == ({}, {}, {})
    assert "moved by" in bundles("diff", made[0], "latest").out


def test_a_damaged_bundle_is_refused_in_one_line_and_kept_aside(bundles: Run, made: list[Path], tmp_path: Path) -> None:
    good = bundles("promote", made[0], "--json").content()["version"]
    spoilt = tmp_path / "spoilt"
    shutil.copytree(made[1], spoilt)
    (spoilt / "model.safetensors").write_bytes((spoilt / "model.safetensors").read_bytes()[:-9])
    complaint = bundles("promote", spoilt).complaint()
    assert "model.safetensors is damaged" in complaint
    listed = bundles("list", "--json").content()
    assert [row["names"] for row in listed["bundles"]] == [["latest"]]
    assert listed["bundles"][0]["version"] == good
    assert "model.safetensors is damaged" in listed["refused"][0]["reason"]
    assert "refused" in bundles("list").out


def test_wrong_names_are_one_line(bundles: Run, made: list[Path], tmp_path: Path) -> None:
    assert "has no latest" in bundles("show").complaint()
    assert "no version before" in bundles("rollback").complaint()
    bundles("promote", made[0])
    assert "no version before" in bundles("rollback").complaint()
    assert "has no version nonsense" in bundles("promote", "nonsense").complaint()
    (tmp_path / "empty").mkdir()
    assert "is not a bundle" in bundles("promote", tmp_path / "empty").complaint()
    assert bundles("list", "--json").content()["refused"] == []
    assert "must be a directory, or a URL" in bundles("list", "--store", "ftp://key:secret@host/").complaint()


def test_no_store_is_wrong_use(rankgr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANKGR_BUNDLE_STORE", raising=False)
    finished = rankgr("bundles", "list")
    assert (finished.code, finished.out) == (2, "")
