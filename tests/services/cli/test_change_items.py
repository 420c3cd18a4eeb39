"""`rankgr items add|retire` on a store in a directory: what is served changes, or each bad row is one line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bundle.new_items import read_new_item_encoder
from model.bundle.read import read_bundle
from model.data.new_items import read_new_items
from model.semantic_id.sentence_encoder import SentenceEncoder
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel, now_at
from tests.tiny_encoder import tiny_bert

from ...model.bundle.growing import CAP, ITEMS, market, write_growing
from .command_line import Run

LENIENT = ("--golden-ms", 60_000)


@pytest.fixture(scope="session")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never change it."""
    return write_growing(tmp_path_factory.mktemp("growing") / "bundle")


@pytest.fixture
def items(rankgr: Run, tmp_path: Path, growing: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`rankgr items` where the bundle is served."""
    monkeypatch.setenv("RANKGR_BUNDLE_STORE", str(tmp_path / "store"))
    assert rankgr("bundles", "promote", growing).code == 0
    return lambda command, *words: rankgr("items", command, *words, *LENIENT)


def served(tmp_path: Path, channel: Channel = Channel.LATEST) -> set[int]:
    store = open_bundle_store(str(tmp_path / "store"))
    version = now_at(store.moves(channel))
    assert version is not None
    into = tmp_path / f"served-{version}"
    if not into.exists():
        store.fetch(version, into)
    return set(read_bundle(into).catalog.item_id.tolist())


def moves(tmp_path: Path) -> int:
    return len(open_bundle_store(str(tmp_path / "store")).moves(Channel.LATEST))


def file_of(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "new.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def twin(item_id: int, **more: object) -> dict[str, object]:
    return {"item_id": item_id, "title": "Twin", "text": market().items.text[0], **more}


def test_items_are_added_and_retired(items: Run, rankgr: Run, tmp_path: Path) -> None:
    before = served(tmp_path)
    added = items("add", file_of(tmp_path, twin(5), twin(6, price=9.5)), "--json").content()
    assert (added["channel"], added["moved"], added["added"], added["refused"]) == ("latest", True, 2, [])
    assert served(tmp_path) == before | {5, 6}
    diff = rankgr("bundles", "diff", "previous", "latest", "--json").content()
    assert diff["items"] == {"added": 2, "removed": 0, "moved": 0, "common": ITEMS}
    assert diff["weights"] == {}
    retired = items("retire", 5, 10001, "--json").content()
    assert retired["retired"] == 2
    assert served(tmp_path) == (before | {6}) - {10001}
    pq.write_table(pa.table({"item_id": [6]}), tmp_path / "gone.parquet")
    told = items("retire", "--file", tmp_path / "gone.parquet")
    assert (told.code, told.err) == (0, "")
    assert "1 items retired" in told.out
    assert served(tmp_path) == before - {10001}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"title": "x"}, "line 2: item_id is missing"),
        (twin(7), "line 2: item_id 7 stands in line 1 already"),
        (twin(10001), "line 2: item_id 10001 is in the catalogue already"),
        ('{"item_id": 8, "title": "Tent", "price": NaN}', "line 2: price must be a number from 0 on, is nan"),
        ({"item_id": 8}, "line 2: item_id 8: no word, category or price that features know"),
        ({"item_id": 8, "title": "zzyzx"}, "line 2: item_id 8: no word, category or price that features know"),
        ("{", "line 2: is no JSON object"),
    ],
)
def test_a_bad_row_is_one_line_and_nothing_is_written(items: Run, tmp_path: Path, row: object, reason: str) -> None:
    before = served(tmp_path)
    path = file_of(tmp_path, twin(7), row)
    assert items("add", path).complaint() == f"rankgr: {reason}"
    assert (served(tmp_path), moves(tmp_path)) == (before, 1)
    done = items("add", path, "--skip-bad", "--json").content()
    assert (done["added"], done["refused"]) == (1, [reason])
    assert served(tmp_path) == before | {7}


def test_every_bad_row_is_told_and_a_full_catalogue_too(items: Run, tmp_path: Path) -> None:
    room = 24 * 5 - ITEMS
    path = file_of(tmp_path, {"item_id": -3}, *[twin(number) for number in range(room + 2)])
    refused = items("add", path)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.splitlines() == [
        "rankgr: line 1: item_id must be an integer from 0 to 2^63 - 1, is -3",
        *(
            f"rankgr: line {number + 2}: item_id {number}: no room, every semantic id has 5 item(s)"
            for number in (room, room + 1)
        ),
    ]
    assert moves(tmp_path) == 1
    told = items("add", path, "--skip-bad")
    assert told.code == 0
    assert len(told.err.splitlines()) == 3
    assert f"{room} items added" in told.out


def test_retiring_whom_nobody_knows(items: Run, tmp_path: Path) -> None:
    assert items("retire", 5).complaint() == "rankgr: item_id 5: is not in the catalogue"
    done = items("retire", 5, "--skip-bad", "--json").content()
    assert (done["moved"], done["retired"], done["refused"]) == (False, 0, ["item_id 5: is not in the catalogue"])
    assert moves(tmp_path) == 1
    everybody = sorted(served(tmp_path))
    assert "no item left" in items("retire", *everybody).complaint()
    assert moves(tmp_path) == 1


def test_a_canary_first(items: Run, tmp_path: Path) -> None:
    path = file_of(tmp_path, twin(5))
    assert items("add", path, "--canary", "--json").content()["channel"] == "canary"
    assert 5 not in served(tmp_path)
    assert 5 in served(tmp_path, Channel.CANARY)
    done = items("retire", 10002, "--canary-for", "0.2", "--json").content()
    assert (done["channel"], done["retired"]) == ("latest", 1)
    # It went on from the canary that was there.
    assert 5 in served(tmp_path)
    assert 10002 not in served(tmp_path)


def serve(rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE_STORE", str(tmp_path / "store"))
    assert rankgr("bundles", "promote", bundle).code == 0


def codes_in_store(tmp_path: Path, *items: int) -> list[list[int]]:
    """Where the bundle that serves now has put these."""
    served(tmp_path)
    version = now_at(open_bundle_store(str(tmp_path / "store")).moves(Channel.LATEST))
    catalog = read_bundle(tmp_path / f"served-{version}").catalog
    codes: list[list[int]] = catalog.codes[catalog.rows_of(items)].tolist()
    return codes


def test_items_join_a_bundle_whose_codes_an_rq_vae_gave(
    rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_growing(tmp_path / "rqvae", method="rqvae")
    serve(rankgr, tmp_path, monkeypatch, bundle)
    texts = enumerate(market().items.text, start=5)
    path = file_of(tmp_path, *[{"item_id": number, "title": "New", "text": text} for number, text in texts])
    rows, _ = read_new_items(path)
    codes = read_new_item_encoder(bundle).codes_of([row.text for row in rows]).tolist()
    taken = Counter(map(tuple, read_bundle(bundle).catalog.codes.tolist()))
    # One newcomer for each id that has room: it gets the codes that the frozen encoder gives it.
    wanted = {tuple(code): row for row, code in zip(rows, codes, strict=True) if taken[tuple(code)] < CAP}
    assert len(wanted) > 2
    path = file_of(tmp_path, *[{"item_id": row.item_id, "text": row.text} for row in wanted.values()])
    done = rankgr("items", "add", path, *LENIENT, "--json").content()
    assert (done["moved"], done["added"]) == (True, len(wanted))
    found = codes_in_store(tmp_path, *[row.item_id for row in wanted.values()])
    assert [tuple(code) for code in found] == list(wanted)


def test_items_join_a_bundle_of_a_sentence_encoder_with_that_encoder_alone(
    rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, another = tiny_bert(tmp_path / "bert"), tiny_bert(tmp_path / "another", seed=1)
    encoder = SentenceEncoder.read(ours)
    bundle = write_growing(tmp_path / "sentences", encoder=encoder)
    serve(rankgr, tmp_path, monkeypatch, bundle)
    path = file_of(tmp_path, {"item_id": 5, "title": "red soap", "text": "mild brush"})
    for words in ((), ("--encoder", another)):
        assert f"sentence encoder {encoder.fingerprint}" in rankgr("items", "add", path, *words, *LENIENT).complaint()
        assert moves(tmp_path) == 1
    assert "is no sentence encoder" in rankgr("items", "add", path, "--encoder", tmp_path, *LENIENT).complaint()
    done = rankgr("items", "add", path, "--encoder", ours, *LENIENT, "--json").content()
    assert (done["moved"], done["added"]) == (True, 1)
    assert (
        codes_in_store(tmp_path, 5)
        == read_new_item_encoder(bundle, encoder).codes_of([row.text for row in read_new_items(path)[0]]).tolist()
    )
    # Those who leave need no features.
    assert rankgr("items", "retire", 5, *LENIENT, "--json").content()["retired"] == 1


def test_wrong_use_is_one_line(rankgr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE_STORE", str(tmp_path / "store"))
    path = file_of(tmp_path, twin(5))
    assert "has no latest" in rankgr("items", "add", path).complaint()
    assert "has no latest" in rankgr("items", "retire", 5).complaint()
    assert "name a file that ends in" in rankgr("items", "add", tmp_path / "new.txt").complaint()
    assert "cannot be read" in rankgr("items", "add", tmp_path / "none.csv").complaint()
    for words in ((), (5, "--file", path), (-1,)):
        finished = rankgr("items", "retire", *words)
        assert (finished.code, finished.out) == (2, "")
    monkeypatch.delenv("RANKGR_BUNDLE_STORE")
    finished = rankgr("items", "add", path)
    assert (finished.code, finished.out) == (2, "")
