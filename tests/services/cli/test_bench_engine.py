"""`rankgr bench engine` on the small shape: real processes, the promised keys, and lists that are equal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from .command_line import Run

KEYS = {
    "host",
    "users",
    "prompt_tokens",
    "beams",
    "lambdas",
    "ms_per_user_median",
    "ms_per_user_p90",
    "users_per_s",
    "peak_rss_mb",
    "equal_to_reference",
    "stages_ms",
}
SMALL_RUN = ("bench", "engine", "--shape", "small", "--quick", "--rounds", 1, "--threads", 1, "--users", "1,2")


def test_one_run_measures_every_case_and_finds_the_lists_equal(rankgr: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (*SMALL_RUN, "--hosts", "torch,naive_rsp,reference_command", "--reference-command", "echo 5 ms/user")
    content = rankgr(*command, "--cache", tmp_path / "cache", "--out", out, "--json").content()
    assert content.keys() >= {"machine", "shape", "rows"}
    assert content["machine"].keys() >= {"cpu", "cores", "threads", "torch", "device", "commit"}
    assert content["skipped"] == []
    assert content["plain_product_gflops"] > 0
    for row in content["rows"]:
        assert row.keys() >= KEYS
    rows = {(row["case"], row["host"], row["users"]): row for row in content["rows"]}
    assert rows.keys() >= {("users", "torch", 1), ("users", "torch", 2), ("users", "naive_rsp", 1)}
    assert {row["case"] for row in content["rows"]} == {
        "users",
        "mixed",
        "repeat",
        "prompt",
        "beams",
        "lambda",
        "equal",
    }
    assert rows["users", "reference_command", 1]["ms_per_user_median"] == 5.0
    # Every list of the torch host was held against the naive search, and every naive one against the torch host.
    assert all(row["equal_to_reference"] is True for row in content["rows"] if row["host"] == "torch")
    assert rows["users", "naive_rsp", 1]["equal_to_torch"] is True
    assert rows["users", "torch", 1]["stages_ms"].keys() >= {"prefill", "level1", "level2"}
    back = rows["repeat", "torch", 1]["counts"]
    assert back["reused_tokens"] >= 2 * 20
    assert back["computed_tokens"] + back["reused_tokens"] == rows["repeat", "torch", 1]["prompt_tokens"]
    assert json.loads((out / "result.json").read_text()) == content
    assert "## Users at once" in (out / "table.md").read_text()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--shape", "huge"), "shape 'huge' is none of default, qwen2.5-0.5b, small"),
        (("--hosts", "torch,tensorflow"), "host 'tensorflow' is none of"),
        (("--hosts", "reference_command"), "needs a --reference-command"),
        (("--cases", "users,night"), "case 'night' is none of users, mixed"),
        (("--users", "0"), "at least 1"),
    ],
)
def test_wrong_names_are_wrong_use(rankgr: Run, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    ended = rankgr(*SMALL_RUN, *words, "--cache", tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert why in " ".join(ended.err.replace("│", "").split())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_a_failure_in_one_line(rankgr: Run, tmp_path: Path) -> None:
    ended = rankgr(*SMALL_RUN, "--device", "cuda", "--cache", tmp_path)
    assert ended.complaint() == "rankgr: device 'cuda': this torch sees no CUDA device"
