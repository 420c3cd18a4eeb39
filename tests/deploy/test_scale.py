"""docs/scale.md says what deploy/scale.py works out, from costs that stand where it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.semantic_id.catalog import Catalog
from model.semantic_id.trie import Trie
from services.engine.settings import EngineSettings
from services.samples.settings import SamplesSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text()
PROGRAM = ROOT / "deploy" / "scale.py"


def worked_out(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IS", str(PROGRAM), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_holds_the_program_s_tables_word_for_word() -> None:
    printed = worked_out()
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout in PAGE


def rows_of(text: str) -> dict[str, str]:
    """Name -> the number of its row."""
    found = re.findall(r"^\| `(\w+)` \|(?: `[^`]+` \|)? ([\d.,]+)", text, re.MULTILINE)
    return {name: value.replace(",", "") for name, value in found}


def test_another_load_gives_other_needs() -> None:
    half = rows_of(worked_out("rate=5000").stdout)
    assert float(half["retrieve_cores"]) == pytest.approx(5000 * 1.3 / 2800, rel=0.01)
    assert float(half["engine_pairs"]) == pytest.approx(5000 * (0.7 / 5.99 + 0.3 / 4.36), rel=0.01)
    assert half["catalogue"] == rows_of(PAGE)["catalogue"]


@pytest.mark.parametrize(("word", "complaint"), [("rat=5", "unknown: rat"), ("rate=much", "no NAME=NUMBER")])
def test_a_bad_word_gets_one_line(word: str, complaint: str) -> None:
    refused = worked_out(word)
    assert refused.returncode == 1
    assert complaint in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_every_measured_cost_stands_where_it_is_said_to() -> None:
    quotes = re.findall(r'Cost\(\s*"(\w+)",\s*([\d.]+),\s*"[^"]+",\s*"([\w.-]+)",\s*"([^"]+)"', PROGRAM.read_text())
    assert len(quotes) == PROGRAM.read_text().count("Cost(") > 10
    for name, value, source, quote in quotes:
        page = (ROOT / "docs" / source).read_text()
        assert quote in page, f"{name}: docs/{source} has no {quote!r}"
        told = [float(one.replace(",", "")) for one in re.findall(r"\d[\d,]*\.?\d*", quote)]
        spelt = {"two minutes": 120.0}
        told += [number for words, number in spelt.items() if words in quote]
        # Eleven events a page view are a quotient of two figures.
        assert float(value) in told or name == "events_view", name
    events, views = 221_847, 20_000
    assert events / views == pytest.approx(11.09, rel=0.001)


def test_bytes_per_item_are_those_of_the_arrays() -> None:
    level, items = 64, 4000
    number = np.random.default_rng(0).permutation(level**2)[:items]
    codes = np.stack([number // level, number % level], axis=1).astype(np.int32)
    catalog = Catalog(np.arange(items, dtype=np.int64), codes, np.zeros(items, dtype=np.float32), (level, level))
    trie = Trie.of_catalog(catalog)
    held = catalog.item_id.nbytes + catalog.codes.nbytes + catalog.popularity.nbytes
    assert held / items == float(rows_of(PAGE)["catalogue_bytes"])
    nodes = sum(array.nbytes for arrays in (trie.code, trie.parent, trie.child_start) for array in arrays)
    nodes += sum(array.nbytes for array in (trie.sids, trie.item_start, trie.item_rows, trie.sid_of_row))
    assert nodes / items == pytest.approx(float(rows_of(PAGE)["trie_bytes"]), rel=0.02)


def test_settings_and_layouts_are_those_of_the_code() -> None:
    told = rows_of(PAGE)
    assert int(told["body_bytes"]) == EngineSettings.model_fields["max_body_bytes"].default
    assert float(told["window_s"]) == SamplesSettings.model_fields["window_s"].default
    assert "a header of 256 bytes, then 16 bytes per item" in (ROOT / "docs" / "performance.md").read_text()
    assert int(told["page_bytes"]) == 256 + 50 * 16
