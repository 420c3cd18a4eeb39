"""Semantic ids as a directory: read as written, whole or not at all, and refused where anything is wrong."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from contracts.errors import BadBundle
from model.bundle.semantic_ids import SIDS_FILE, SemanticIds, read_evidence, read_semantic_ids, write_semantic_ids
from model.semantic_id.catalog import Catalog
from model.semantic_id.evidence import Evidence, RelatedItems
from model.semantic_id.features import FeatureRecipe, ItemFeatures
from model.semantic_id.new_item_encoder import NewItemEncoder
from model.semantic_id.residual_kmeans import ResidualKMeans

from .contents import change_json, files_of

NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)
TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("polish", "soap", "brush", "comb")]


def sids(texts: list[str] = TEXTS) -> tuple[SemanticIds, Evidence]:
    features, features_ND = ItemFeatures.fit(texts, [np.asarray([0, 1, 2, 3])], FeatureRecipe(8))
    quantiser = ResidualKMeans.fit(features_ND, (4, 4), seed=0)
    catalog = Catalog(
        item_id=np.arange(10, 10 + len(texts)),
        codes=quantiser.encode(features_ND),
        popularity=np.ones(len(texts), np.float32),
        level_sizes=(4, 4),
        title=tuple(texts),
    )
    beside = sp.csr_matrix(np.eye(len(texts), k=1) + np.eye(len(texts), k=-1))
    evidence = Evidence(features_ND.astype(np.float16), {"train": RelatedItems.of_counts(beside, seed=0)})
    return SemanticIds(catalog, NewItemEncoder(features, quantiser), {"method": "rkmeans"}, {"name": "toy"}), evidence


@pytest.fixture
def written(tmp_path: Path) -> Path:
    made, evidence = sids()
    write_semantic_ids(made, evidence, tmp_path / "sids", NOW)
    return tmp_path / "sids"


def test_what_was_written_is_read(written: Path) -> None:
    made, evidence = sids()
    found = read_semantic_ids(written)
    assert found.catalog.version == made.catalog.version
    assert found.catalog.title == made.catalog.title
    assert (dict(found.settings), dict(found.data)) == ({"method": "rkmeans"}, {"name": "toy"})
    np.testing.assert_array_equal(found.encoder.codes_of(TEXTS), made.encoder.codes_of(TEXTS))
    again = read_evidence(written)
    np.testing.assert_array_equal(again.vectors, evidence.vectors)
    np.testing.assert_array_equal(again.relations["train"].related, evidence.relations["train"].related)


def test_items_without_texts_have_ids_too(tmp_path: Path) -> None:
    made, evidence = sids([""] * 12)
    write_semantic_ids(made, evidence, tmp_path / "sids", NOW)
    assert read_semantic_ids(tmp_path / "sids").features.text is None


def test_equal_ids_are_equal_files(written: Path, tmp_path: Path) -> None:
    made, evidence = sids()
    write_semantic_ids(made, evidence, tmp_path / "again", NOW)
    assert files_of(tmp_path / "again") == files_of(written)


def test_what_is_there_is_replaced_only_when_asked_and_only_if_it_is_ours(written: Path, tmp_path: Path) -> None:
    made, evidence = sids()
    before = files_of(written)
    with pytest.raises(BadBundle, match="exists already"):
        write_semantic_ids(made, evidence, written, NOW)
    assert files_of(written) == before
    write_semantic_ids(made, evidence, written, NOW, replace=True)
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(BadBundle, match=f"has no {SIDS_FILE}"):
        write_semantic_ids(made, evidence, home, NOW, replace=True)
    assert files_of(home) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("name", ["catalog.parquet", "quantiser.safetensors", "features/item_features.json"])
def test_damage_is_found(written: Path, name: str) -> None:
    (written / name).write_bytes(b"{}")
    with pytest.raises(BadBundle, match=f"{name} is damaged"):
        read_semantic_ids(written)


@pytest.mark.parametrize(
    ("entry", "value", "complaint"),
    [
        ("format", 2, "format"),
        ("catalog_version", "0" * 12, "the catalogue is version"),
        ("level_sizes", [4], "more code columns"),
        ("level_sizes", [9, 9], "the catalogue is version"),
        ("files", {}, "lists no catalog.parquet"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_in_one_line(
    written: Path, entry: str, value: object, complaint: str
) -> None:
    change_json(written / SIDS_FILE, lambda content: content.update({entry: value}))
    with pytest.raises(BadBundle, match=complaint) as caught:
        read_semantic_ids(written)
    assert "\n" not in str(caught.value)


def test_another_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="holds no semantic ids"):
        read_semantic_ids(tmp_path)


def test_reading_needs_no_torch() -> None:
    code = "import sys, model.bundle.semantic_ids; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
