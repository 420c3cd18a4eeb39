"""What is written is what is read, by us and by transformers."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from model.bundle.prompt_side import read_prompt_side
from model.bundle.read import read_bundle

from .contents import NOW, catalog, contents, files_of, network, prompt_format

TOKENS = torch.tensor([[45, 50, 41, 47, 2, 12, 35, 1]])


def test_every_part_comes_back_equal(written: Path) -> None:
    bundle = read_bundle(written)
    wanted = contents()
    assert bundle.path == written
    assert bundle.prompt_format == wanted.prompt_format
    assert bundle.popular == wanted.popular
    assert bundle.config.to_json() == wanted.network.config.to_json()
    weights = wanted.network.state_dict()
    assert set(bundle.weights) == set(weights)
    for name, weight in weights.items():
        assert torch.equal(bundle.weights[name], weight), name
    for column in ("item_id", "codes", "popularity"):
        np.testing.assert_array_equal(getattr(bundle.catalog, column), getattr(wanted.catalog, column))
    assert bundle.catalog.title == wanted.catalog.title
    quantiser = load_file(written / "quantiser.safetensors")
    np.testing.assert_array_equal(quantiser["level1"], wanted.quantiser["level1"])
    assert (written / "features" / "words.json").read_bytes() == wanted.features["words.json"]


def test_the_network_read_computes_what_the_one_written_does(written: Path) -> None:
    positions = torch.arange(TOKENS.shape[1])[None]
    read = read_bundle(written).network()
    assert not read.training
    with torch.no_grad():
        assert torch.equal(read(TOKENS, positions), network()(TOKENS, positions))


def test_the_prompt_side_alone_is_the_same(written: Path) -> None:
    side, bundle = read_prompt_side(written), read_bundle(written)
    assert side.manifest == bundle.manifest
    assert side.prompt_format == bundle.prompt_format == prompt_format()
    assert side.catalog.version == bundle.catalog.version == catalog().version


def test_the_manifest_lists_every_other_file_with_its_sha256(written: Path) -> None:
    files = files_of(written)
    listed = json.loads(files.pop("manifest.json"))["files"]
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert set(listed) == {
        "config.json",
        "model.safetensors",
        "catalog.parquet",
        "quantiser.safetensors",
        "popular.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "features/words.json",
    }


def test_the_manifest_says_what_was_built_from_what(written: Path) -> None:
    manifest = read_bundle(written).manifest
    assert manifest.catalog_version == catalog().version
    assert manifest.created_at == NOW.isoformat()
    assert manifest.data == {"name": "toy", "users": 5}
    assert manifest.metrics == {"click HR@20": 0.25}


def test_others_may_read_a_bundle(written: Path) -> None:
    assert stat.S_IMODE(written.stat().st_mode) == 0o755


def test_transformers_loads_the_backbone_and_computes_the_same(written: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(written, dtype=torch.float32).eval()
    ours = network()
    with torch.no_grad():
        theirs = model(input_ids=TOKENS, output_hidden_states=True)
        states = ours(TOKENS, torch.arange(TOKENS.shape[1])[None])
        torch.testing.assert_close(theirs.hidden_states[-1], states, rtol=0, atol=1e-4)
        for level, part in enumerate(ours.config.levels, start=1):
            logits = theirs.logits[..., part.token_offset : part.token_offset + part.size]
            torch.testing.assert_close(logits, ours.level_logits(states, level), rtol=0, atol=1e-4)


def test_transformers_loads_the_tokenizer(written: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(written)
    fmt = prompt_format()
    text = "<a_3><b_5><scene:home><hour:7><device:mobile><marker>"
    special = fmt.special_tokens
    names = ("scene:home", "hour:7", "device:mobile", "marker")
    codes = [fmt.token_offsets[0] + 3, fmt.token_offsets[1] + 5]
    assert tokenizer(text)["input_ids"] == [*codes, *(special[name] for name in names)]
