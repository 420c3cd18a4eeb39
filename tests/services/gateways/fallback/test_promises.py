"""What every set of fallback lists promises (its port.py), in memory and read from a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from contracts.errors import BadBundle
from services.gateways.fallback.in_memory import MemoryFallbackLists
from services.gateways.fallback.on_disk import DiskFallbackLists
from services.gateways.fallback.port import FallbackLists

POPULAR = {"default": [3, 1, 2], "scenes": {"home": [9], "empty": []}}


def write_bundle(directory: Path, popular: bytes | None = None, sha256: str | None = None) -> Path:
    """The two files of a bundle that fallback lists need."""
    data = json.dumps(POPULAR).encode() if popular is None else popular
    (directory / "popular.json").write_bytes(data)
    manifest = {
        "format": 1,
        "model_version": "m",
        "catalog_version": "c",
        "created_at": "2026-01-01T00:00:00Z",
        "data": {},
        "metrics": {},
        "files": {"popular.json": sha256 or hashlib.sha256(data).hexdigest()},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.fixture(params=["memory", "disk"])
def lists(request: pytest.FixtureRequest, tmp_path: Path) -> FallbackLists:
    if request.param == "memory":
        return MemoryFallbackLists([3, 1, 2], {"home": [9], "empty": []})
    return DiskFallbackLists.read(write_bundle(tmp_path))


def test_a_scene_has_its_list_and_any_other_the_default_one(lists: FallbackLists) -> None:
    assert lists.popular("home") == (9,)
    assert lists.popular("elsewhere") == (3, 1, 2)
    assert lists.popular(None) == (3, 1, 2)
    assert lists.popular("empty") == ()


def refusal_of(bundle: Path) -> str:
    with pytest.raises(BadBundle) as caught:
        DiskFallbackLists.read(bundle)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_directory_without_the_files_is_no_bundle(tmp_path: Path) -> None:
    assert "is this a bundle?" in refusal_of(tmp_path / "nowhere")
    assert "manifest.json" in refusal_of(tmp_path)
    write_bundle(tmp_path)
    (tmp_path / "popular.json").unlink()
    assert "popular.json" in refusal_of(tmp_path)


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / "popular.json").write_text('{"default": [1]}')
    assert "sha256" in refusal_of(tmp_path)


def test_a_list_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "files": {}}))
    assert "does not list popular.json" in refusal_of(tmp_path)


@pytest.mark.parametrize("popular", [b"", b"[1, 2]", b'{"default": ["x"]}', b"\xff", b'{"default": 7}'])
def test_a_list_of_another_shape_is_refused(tmp_path: Path, popular: bytes) -> None:
    assert "no PopularList" in refusal_of(write_bundle(tmp_path, popular))


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    assert "no Manifest of format 1: format" in refusal_of(tmp_path)


def test_what_was_read_stays_when_the_bundle_goes(tmp_path: Path) -> None:
    lists = DiskFallbackLists.read(write_bundle(tmp_path))
    for file in tmp_path.iterdir():
        file.unlink()
    assert lists.popular(None) == (3, 1, 2)
    assert lists.manifest.model_version == "m"
