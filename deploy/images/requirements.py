"""`python requirements.py EXTRA < pyproject.toml`: what an image installs, one requirement a line.

So that only a change of these lines, and not of the rest of pyproject.toml, makes an image install anew.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence


def requirements(project: Mapping[str, object], extra: str) -> list[str]:
    """The project's own dependencies and those of an extra; an extra that names another brings that one's.

    Raises KeyError for an extra that the project does not have.
    """
    match project:
        case {"name": str(name), "dependencies": list(own), "optional-dependencies": dict(extras)}:
            return [*own, *_of_extra(name, extras, extra)]
    raise KeyError("name, dependencies, optional-dependencies")


def _of_extra(name: str, extras: Mapping[str, Sequence[str]], extra: str) -> list[str]:
    found: list[str] = []
    for line in extras[extra]:
        if line.startswith(f"{name}["):
            for inner in line.removeprefix(f"{name}[").removesuffix("]").split(","):
                found += _of_extra(name, extras, inner)
        else:
            found.append(line)
    return found


def main() -> None:
    """Read pyproject.toml from stdin."""
    project = tomllib.load(sys.stdin.buffer)["project"]
    sys.stdout.writelines(f"{line}\n" for line in requirements(project, sys.argv[1]))


if __name__ == "__main__":
    main()
