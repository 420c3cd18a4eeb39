"""The half of a bundle that builds prompts: format and catalogue, read and verified without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadBundle
from contracts.manifest import Manifest
from model.bundle.verify import read_json, read_manifest, verify_files
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog

CONFIG_FILE = "config.json"
CATALOG_FILE = "catalog.parquet"
PROMPT_FILES = frozenset({CONFIG_FILE, CATALOG_FILE})


@dataclass(frozen=True, slots=True)
class PromptSide:
    """What turns a history into a prompt, and codes into items, for one catalogue version."""

    manifest: Manifest
    prompt_format: PromptFormat
    catalog: Catalog


def read_prompt_side(directory: Path, *, whole: bool = True) -> PromptSide:
    """Read and verify.  Raises BadBundle with one line that says what is wrong.

    whole: check every listed file, not only those that are read; False where a store gave these alone.
    """
    manifest = read_manifest(directory)
    verify_files(directory, manifest, PROMPT_FILES, only=None if whole else PROMPT_FILES)
    section = read_json(directory, CONFIG_FILE).get("rankgr")
    if not isinstance(section, dict):
        raise BadBundle(f"{directory}: {CONFIG_FILE} has no section rankgr")
    prompt_format = PromptFormat.from_config(section)
    catalog = Catalog.read(directory / CATALOG_FILE, prompt_format.level_sizes)
    if catalog.version != manifest.catalog_version:
        raise BadBundle(
            f"{directory}: the catalogue is version {catalog.version}, the manifest says {manifest.catalog_version}"
        )
    return PromptSide(manifest, prompt_format, catalog)
