"""`rankgr sid`: ids are made whole or not at all, bad input is one line, and a report tells what they are."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadDataSet
from model.bundle.new_items import read_encoder_files
from model.bundle.semantic_ids import read_semantic_ids, read_sid_manifest
from model.bundle.verify import verify_files
from model.semantic_id.sentence_encoder import SentenceEncoder
from tests.tiny_encoder import tiny_bert

from .command_line import Run

SHORT = "steps=40,warm_up=10,batch=32,latent=8,hidden=16"
REPORT_KEYS = {
    "levels", "items", "sids_used", "collision_rate", "max_items_per_sid", "gini", "embedding_hit_rate",
    "neighbourhoods",
}  # fmt: skip


@pytest.mark.parametrize("method", ["rkmeans", "rqvae"])
def test_a_market_gets_unique_ids_that_a_report_describes(
    rankgr: Run, micro_data: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "sids"
    words = ("--method", method, "--levels", "2x16", "--rqvae", SHORT, "--dims", 16, "--seed", 3)
    built = rankgr("sid", "build", micro_data, "--out", out, *words, "--json").content()
    assert built.keys() == REPORT_KEYS | {"sids", "catalog_version", "seconds", "items_without_features"}
    sids = read_semantic_ids(out)
    assert built["catalog_version"] == sids.catalog.version
    assert sids.settings["method"] == method
    assert (built["items"], built["sids_used"], built["max_items_per_sid"]) == (80, 80, 1)
    reported = rankgr("sid", "report", out, "--json").content()
    assert reported.keys() == REPORT_KEYS
    for name in REPORT_KEYS - {"embedding_hit_rate"}:
        assert reported[name] == built[name]
    assert reported["embedding_hit_rate"].keys() == {"train", "valid"}
    # The vectors are kept in half precision: hardly anything moves.
    for kind in ("input", "dequantised"):
        one, other = (content["embedding_hit_rate"]["train"][kind]["@10"] for content in (built, reported))
        assert one == pytest.approx(other, abs=0.02)
        assert 0 < one < 1
    assert len(reported["neighbourhoods"]) == 10
    shown = rankgr("sid", "report", out)
    assert (shown.code, shown.err) == (0, "")
    assert "level 2: " in shown.out
    assert reported["neighbourhoods"][0]["title"][:40] in shown.out


def test_equal_seeds_make_equal_ids_and_nothing_is_replaced_unasked(
    rankgr: Run, micro_data: Path, tmp_path: Path
) -> None:
    def build(out: str, *more: object) -> str:
        words = ("--levels", "2x16", "--dims", 16, *more)
        built = rankgr("sid", "build", micro_data, "--out", tmp_path / out, *words, "--json").content()
        return str(built["catalog_version"])

    first = build("one")
    assert build("two") == first
    before = (tmp_path / "one" / "semantic_ids.json").read_bytes()
    complaint = rankgr("sid", "build", micro_data, "--out", tmp_path / "one").complaint()
    assert "exists already" in complaint
    assert (tmp_path / "one" / "semantic_ids.json").read_bytes() == before
    assert build("one", "--force", "--seed", 7) != first


def test_a_bundle_is_reported_too_with_hit_rates_where_its_data_is_named(
    rankgr: Run, micro_data: Path, micro_bundle: Path
) -> None:
    alone = rankgr("sid", "report", micro_bundle, "--json").content()
    assert alone.keys() == REPORT_KEYS
    assert alone["embedding_hit_rate"] == {}
    assert len(alone["neighbourhoods"]) == 10
    rates = rankgr("sid", "report", micro_bundle, "--data", micro_data, "--json").content()["embedding_hit_rate"]
    assert rates["train"]["dequantised"]["@10"] > 0


def test_a_sentence_encoder_takes_the_place_of_the_words(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    encoder, out = tiny_bert(tmp_path / "bert"), tmp_path / "sids"
    words = ("--levels", "2x16", "--dims", 16, "--encoder", encoder, "--json")
    assert rankgr("sid", "build", micro_data, "--out", out, *words).content()["sids_used"] == 80
    verify_files(out, read_sid_manifest(out))
    known = SentenceEncoder.read(encoder)
    sids = read_semantic_ids(out)
    with pytest.raises(BadDataSet, match=f"sentence encoder {known.fingerprint}"):
        sids.encoder.codes_of(["red soap"])
    assert read_encoder_files(out, known).codes_of(["red soap"]).shape == (1, 2)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--levels", "2x1"), "level 1 has 1 code, which tells no items apart"),
        (("--levels", "two"), "is neither LEVELSxCODES"),
        (("--method", "magic"), "is none of rkmeans, rqvae"),
        (("--items", "some"), "is none of all, seen"),
        (("--history", "look"), "is none of exposure, click, purchase"),
        (("--rqvae", "speed=9"), "is none of latent"),
        (("--cap", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_use_exits_with_2_and_names_the_option(
    rankgr: Run, micro_data: Path, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    finished = rankgr("sid", "build", micro_data, "--out", tmp_path / "out", *words)
    assert (finished.code, finished.out) == (2, "")
    # The message stands in a box, broken into lines.
    assert complaint in " ".join(finished.err.replace("│", " ").split())
    assert words[0] in finished.err
    assert not (tmp_path / "out").exists()


def test_more_items_than_ids_under_the_cap_is_one_line(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    complaint = rankgr("sid", "build", micro_data, "--out", tmp_path / "out", "--levels", "2x8").complaint()
    assert "80 items do not fit 8x8 codes with at most 1 items on each (64 places)" in complaint
    assert (
        rankgr("sid", "build", micro_data, "--out", tmp_path / "out", "--levels", "2x8", "--cap", 2, "--json").code == 0
    )


@pytest.mark.parametrize("what", ["no data", "no sids", "no encoder"])
def test_what_is_not_there_is_one_line(rankgr: Run, micro_data: Path, tmp_path: Path, what: str) -> None:
    nowhere = tmp_path / "nowhere"
    if what == "no data":
        assert "is no directory" in rankgr("sid", "build", nowhere, "--out", tmp_path / "out").complaint()
    elif what == "no sids":
        assert "is not a bundle" in rankgr("sid", "report", nowhere).complaint()
    else:
        complaint = rankgr("sid", "build", micro_data, "--out", tmp_path / "out", "--encoder", nowhere).complaint()
        assert "is no sentence encoder" in complaint
    assert not list(tmp_path.iterdir())


def test_items_without_any_feature_still_get_ids_of_their_own(rankgr: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    log = {
        "user_id": [1, 1, 2],
        "item_id": [0, 1, 2],
        "behavior": ["click"] * 3,
        "timestamp": [1, 2, 1],
        "split": ["train"] * 3,
    }
    pq.write_table(pa.table(log), data / "interactions.parquet")
    pq.write_table(pa.table({"item_id": np.arange(30)}), data / "items.parquet")
    words = ("sid", "build", data, "--out", tmp_path / "out", "--levels", "2x8")
    built = rankgr(*words, "--json").content()
    # Two items stand beside each other; the third is alone.
    assert (built["items"], built["sids_used"], built["items_without_features"]) == (30, 30, 28)
    assert "28 items have no text and no company in any history" in rankgr(*words, "--force").err


def test_a_disk_that_refuses_leaves_nothing_behind(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    # The place of --out is below a file: no directory can be made there.
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "sids"
    assert rankgr("sid", "build", micro_data, "--out", out, "--levels", "2x16").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_damaged_ids_are_refused_in_one_line(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "sids"
    rankgr("sid", "build", micro_data, "--out", out, "--levels", "2x16", "--json").content()
    broken = shutil.copytree(out, tmp_path / "broken")
    (broken / "evidence.safetensors").write_bytes(b"")
    assert "evidence.safetensors is damaged" in rankgr("sid", "report", broken).complaint()


@pytest.mark.parametrize("blocks", [2, 8, 16])
def test_a_disk_without_room_is_one_line_and_leaves_nothing_behind(
    micro_data: Path, tmp_path: Path, blocks: int
) -> None:
    # No file may grow beyond so many KiB: catalogue, quantiser or evidence meets the end first.
    command = shlex.join([sys.executable, "-m", "services.cli", "sid", "build", str(micro_data), "--levels", "2x16"])
    command += " --json --out " + shlex.quote(str(tmp_path / "out"))
    ended = subprocess.run(
        ["bash", "-c", f"ulimit -f {blocks}; exec {command}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert "File too large" in line or "file too large" in line
    assert not list(tmp_path.iterdir())
