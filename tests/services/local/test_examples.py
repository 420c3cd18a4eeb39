"""The users that `rankgr up` offers in the console: held-out ones, with what they had done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.bundle.verify import read_manifest
from model.data.data_set import read_data_set
from services.console.examples import read_examples
from services.local.examples import USERS, offer_examples
from services.local.prepare import Prepared

VARIABLE = "RANKGR_CONSOLE_EXAMPLES"


def test_the_console_reads_what_was_offered(
    micro_data: Path, micro_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set first, so that the test's end puts it back.
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)
    offer_examples(Prepared(micro_bundle, read_manifest(micro_bundle), read_data_set(micro_data), True), tmp_path)
    offered = read_examples(Path(os.environ[VARIABLE]))
    assert 0 < len(offered) <= USERS
    assert all(one.recent for one in offered.values())


def test_whoever_names_another_file_keeps_it(
    micro_data: Path, micro_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "mine.json")
    offer_examples(Prepared(micro_bundle, read_manifest(micro_bundle), read_data_set(micro_data), True), tmp_path)
    assert os.environ[VARIABLE] == "mine.json"
