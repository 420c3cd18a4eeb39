"""A configuration file (TOML) becomes a recipe; what it does not say keeps its default."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pydantic import ValidationError

from contracts.errors import BadConfig
from model.build.recipe import ADAPTER, Recipe


def read_recipe(path: Path) -> Recipe:
    """Read and check.  Raises BadConfig with one line that names the key and what is wrong with it."""
    try:
        content = tomllib.loads(path.read_bytes().decode())
        # JSON knows no tuples: arrays are then taken for them although nothing else is converted.
        text = json.dumps(content)
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        # Not TOML, not UTF-8, or a date, which no key wants.
        raise BadConfig(f"{path} is no configuration: {' '.join(str(error).split())}") from error
    try:
        return ADAPTER.validate_json(text)
    except ValidationError as error:
        raise BadConfig(f"{path}: {complaint(error)}") from error


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: `network.hiden_size: unknown key`."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    what = "unknown key" if first["type"] == "unexpected_keyword_argument" else first["msg"]
    return f"{key}: {what}" if key else what
