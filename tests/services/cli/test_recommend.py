"""`rankgr recommend`: a history on the command line, items of the bundle back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .command_line import Run

HISTORY = "10003,10017,10042"
UNKNOWN = "77"
TITLE = "[bold]Lamp[/bold] [1/2] :smile: [/]"


def test_the_answer_has_the_promised_keys_and_names_unknown_items(rankgr: Run, micro_bundle: Path) -> None:
    answer = rankgr("recommend", micro_bundle, "--items", f"{HISTORY},{UNKNOWN}", "--limit", 7, "--json").content()
    assert answer.keys() >= {"model_version", "catalog_version", "unknown_items", "items", "timings_ms"}
    assert answer["unknown_items"] == [int(UNKNOWN)]
    assert len(answer["items"]) == 7
    for item in answer["items"]:
        assert item.keys() >= {"item_id", "score", "sid", "levels"}
        assert len(item["sid"]) == len(item["levels"]) == 2
        assert all(level.keys() == {"iap_logprob", "rsp_logscore"} for level in item["levels"])
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert "prompt_tokens" not in answer


def test_the_same_question_gets_the_same_answer_and_behaviours_default_to_clicks(
    rankgr: Run, micro_bundle: Path
) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--json")
    first, again = rankgr(*asked).content(), rankgr(*asked, "--behaviors", "click,click,click").content()
    assert first["items"] == again["items"]
    weaker = rankgr(*asked, "--behaviors", "click,exposure,click", "--explain").content()
    stronger = rankgr(*asked, "--explain").content()
    assert len(weaker["prompt_tokens"]) < len(stronger["prompt_tokens"])


def test_explain_adds_the_prompt_and_the_keys(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--limit", 2, "--explain")
    answer = rankgr(*asked, "--json").content()
    tokens, keys = answer["prompt_tokens"], answer["key_positions"]
    # Two codes for each item of the history; circumstances are no keys.
    assert keys == [0, 1, 2, 3, 4, 5]
    assert len(tokens) > 6
    shown = rankgr(*asked)
    assert "prompt tokens: " + " ".join(map(str, tokens)) in shown.out
    assert shown.out.count("level 1: IAP log p") == 2


def test_where_all_positions_are_keys_explain_says_so(rankgr: Run, micro_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(micro_bundle, tmp_path / "b")
    config = json.loads((bundle / "config.json").read_text())
    config["rankgr"]["rank_head"]["keys"] = "all"
    (bundle / "config.json").write_text(json.dumps(config))
    renew_digest(bundle, "config.json")
    answer = rankgr("recommend", bundle, "--items", HISTORY, "--limit", 2, "--explain", "--json").content()
    assert answer["key_positions"] == list(range(len(answer["prompt_tokens"])))


def test_scene_and_time_reach_the_prompt(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--limit", 1, "--explain", "--json")
    plain = rankgr(*asked).content()["prompt_tokens"]
    home = rankgr(*asked, "--scene", "home").content()["prompt_tokens"]
    late = rankgr(*asked, "--at", "2026-01-31T23:30").content()["prompt_tokens"]
    assert len({tuple(plain), tuple(home), tuple(late)}) == 3
    assert late == rankgr(*asked, "--at", "1769902200000").content()["prompt_tokens"]


def test_excluded_items_are_not_recommended(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--limit", 100, "--json")
    best = [item["item_id"] for item in rankgr(*asked).content()["items"]]
    left = rankgr(*asked, "--exclude", f"{best[0]},{best[2]},{UNKNOWN}").content()
    assert {best[0], best[2]}.isdisjoint(item["item_id"] for item in left["items"])


def test_widths_narrow_the_search(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--limit", 100, "--json")
    narrow = rankgr(*asked, "--beams", "2,3", "--lambdas", "4,5").content()
    assert 1 <= len({tuple(item["sid"]) for item in narrow["items"]}) <= 3


def test_the_reference_says_what_torch_says(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--beams", "5,20", "--lambdas", "10,10", "--json")
    fast, slow = (rankgr(*asked, "--host", host).content()["items"] for host in ("torch", "reference"))
    assert [item["item_id"] for item in fast] == [item["item_id"] for item in slow]
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


@pytest.mark.heavy
@pytest.mark.vllm
# vLLM and what it loads warn of what is theirs to change.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_vllm_says_what_torch_says(rankgr: Run, micro_bundle: Path) -> None:
    asked = ("recommend", micro_bundle, "--items", HISTORY, "--beams", "5,20", "--lambdas", "10,10", "--json")
    torch = rankgr(*asked).content()["items"]
    # vLLM speaks of the machine it finds, on stderr.
    vllm = json.loads(rankgr(*asked, "--host", "vllm").out)["items"]
    assert [item["item_id"] for item in torch] == [item["item_id"] for item in vllm]
    for ours, theirs in zip(torch, vllm, strict=True):
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


def test_an_empty_history_is_a_prompt_of_circumstances_alone(rankgr: Run, micro_bundle: Path) -> None:
    answer = rankgr("recommend", micro_bundle, "--items", "", "--limit", 3, "--json").content()
    assert len(answer["items"]) == 3


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--beams", "0,5", "beams"),
        ("--lambdas", "5,0", "lambdas"),
        ("--beams", "5", "beams"),
        ("--lambdas", "1,2,3", "lambdas"),
    ],
)
@pytest.mark.parametrize("host", ["torch", "reference"])
def test_widths_that_make_no_sense_are_one_line(
    rankgr: Run, micro_bundle: Path, host: str, option: str, value: str, says: str
) -> None:
    refused = rankgr("recommend", micro_bundle, "--items", HISTORY, option, value, "--host", host, "--json")
    assert says in refused.complaint()


@pytest.mark.parametrize("when", ["-5", "noon", "²", "9" * 16])
def test_a_time_that_is_none_is_wrong_use(rankgr: Run, micro_bundle: Path, when: str) -> None:
    refused = rankgr("recommend", micro_bundle, "--items", HISTORY, "--at", when)
    assert (refused.code, refused.out) == (2, "")


def test_a_directory_that_is_no_bundle_is_one_line(rankgr: Run, tmp_path: Path) -> None:
    assert "not a bundle" in rankgr("recommend", tmp_path, "--items", HISTORY, "--json").complaint()


@pytest.mark.parametrize("file", ["model.safetensors", "catalog.parquet", "config.json"])
def test_a_damaged_bundle_is_refused_by_the_file_s_name(
    rankgr: Run, micro_bundle: Path, tmp_path: Path, file: str
) -> None:
    damaged = shutil.copytree(micro_bundle, tmp_path / "b") / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert file in rankgr("recommend", tmp_path / "b", "--items", HISTORY, "--json").complaint()


def test_titles_are_printed_as_they_are(rankgr: Run, micro_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(micro_bundle, tmp_path / "b")
    retitle(bundle, TITLE)
    shown = rankgr("recommend", bundle, "--items", HISTORY, "--limit", 3)
    assert shown.code == 0
    assert [line.endswith(f"  {TITLE}") for line in shown.out.splitlines()] == [True] * 3


def retitle(bundle: Path, title: str) -> None:
    """Give every item this title, and the manifest the new digest."""
    path = bundle / "catalog.parquet"
    table = pq.read_table(path)
    titles = pa.array([title] * len(table), table.schema.field("title").type)
    pq.write_table(table.set_column(table.schema.get_field_index("title"), "title", titles), path)
    renew_digest(bundle, "catalog.parquet")


def renew_digest(bundle: Path, file: str) -> None:
    """Have the manifest take a changed file for whole."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][file] = hashlib.sha256((bundle / file).read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
