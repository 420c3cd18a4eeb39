"""docs/settings.md names every variable of every process, with its default, and no other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from services.runtime.settings import variables_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
NAME = re.compile(r"`(RANKGR_[A-Z0-9_]+)`")


def settings_classes() -> list[type[BaseSettings]]:
    """Every process's settings, found in the folders themselves: a new process cannot be forgotten."""
    found: list[type[BaseSettings]] = []
    for file in sorted((ROOT / "services").glob("*/settings.py")):
        name = f"services.{file.parent.name}.settings"
        if name == "services.runtime.settings":
            continue
        here = vars(importlib.import_module(name)).values()
        found += [
            one for one in here if isinstance(one, type) and issubclass(one, BaseSettings) and one.__module__ == name
        ]
    return found


def rows() -> dict[str, str]:
    """Variable -> the default that the page tells, without its backquotes."""
    told: dict[str, str] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 4:
            for name in NAME.findall(cells[0]):
                assert name not in told, f"{name} stands in two rows"
                told[name] = cells[1].strip("`")
    return told


def test_all_processes_are_walked() -> None:
    prefixes = {str(kind.model_config.get("env_prefix")) for kind in settings_classes()}
    assert prefixes >= {
        f"RANKGR_{name}_"
        for name in ("TRIGGER", "HISTORY", "PRECOMPUTE", "ENGINE", "RETRIEVAL", "SAMPLES", "TRAINER", "CONSOLE")
    }


@pytest.mark.parametrize("kind", settings_classes(), ids=lambda kind: kind.__name__)
def test_every_variable_is_on_the_page_with_its_default(kind: type[BaseSettings]) -> None:
    told = rows()
    for field, variable in variables_of(kind).items():
        assert variable in told, f"docs/settings.md does not name {variable}"
        default = kind.model_fields[field].get_default()
        if isinstance(default, bool):
            assert told[variable] == str(default).lower(), variable
        elif isinstance(default, int | float):
            assert float(told[variable]) == default, variable
        elif isinstance(default, str):
            assert told[variable] == (default or "none"), variable


def test_the_page_names_no_variable_that_nobody_reads() -> None:
    read = {variable for kind in settings_classes() for variable in variables_of(kind).values()}
    assert set(NAME.findall(PAGE)) <= read
