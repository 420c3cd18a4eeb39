"""The tokenizer files load with transformers and name the ids that the format gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.prompt.format import PromptFormat
from model.prompt.tokenizer_files import token_names, tokenizer_files


def some_format() -> PromptFormat:
    return PromptFormat.create((8, 300), ["home", "my page", "a<b>"], layout="items_behaviors")


def write_files(fmt: PromptFormat, directory: Path) -> None:
    for name, text in tokenizer_files(fmt).items():
        (directory / name).write_text(text, encoding="utf-8")
    # A bundle's config.json says Qwen2, and AutoTokenizer looks at it first.
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": fmt.vocab_size}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_every_id_has_one_name() -> None:
    fmt = some_format()
    names = token_names(fmt)
    assert len(names) == len(set(names)) == fmt.vocab_size
    assert names[fmt.special_tokens["scene:my page"]] == "<scene:my page>"
    assert names[fmt.token_offsets[0]] == "<a_0>"
    assert names[fmt.token_offsets[1] + 299] == "<b_299>"


def test_auto_tokenizer_loads_the_files_and_maps_names_to_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoTokenizer

    fmt = some_format()
    write_files(fmt, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    names = list(token_names(fmt))
    assert tokenizer.convert_tokens_to_ids(names) == list(range(fmt.vocab_size))
    assert len(tokenizer) == fmt.vocab_size
    assert tokenizer.pad_token_id == fmt.pad
    prompt = "<behavior:click><a_3><b_17><scene:my page><hour:none><device:mobile><marker>"
    expected = [
        "<behavior:click>",
        "<a_3>",
        "<b_17>",
        "<scene:my page>",
        "<hour:none>",
        "<device:mobile>",
        "<marker>",
    ]
    assert tokenizer.encode(prompt, add_special_tokens=False) == [names.index(name) for name in expected]
    assert tokenizer.convert_ids_to_tokens([fmt.token_offsets[0] + 5]) == ["<a_5>"]
