"""One written bundle, copied for each test that wants to spoil it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.bundle.write import write_bundle

from .contents import contents


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never change it; take `bundle` for that."""
    directory = tmp_path_factory.mktemp("bundles") / "good"
    write_bundle(contents(), directory)
    return directory


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    copy = tmp_path / "bundle"
    shutil.copytree(written, copy)
    return copy
