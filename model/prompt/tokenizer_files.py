"""A tokenizer that names every token of a format, so that vLLM and transformers load a bundle as it is.

Called by the bundle writer.  Serving never tokenises text: prompts are built as ids.
"""

from __future__ import annotations

import json

from model.prompt.format import PromptFormat

TOKENIZER_FILE, TOKENIZER_CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"


def token_names(fmt: PromptFormat) -> tuple[str, ...]:
    """Name of every id below fmt.vocab_size: <pad>, <scene:home>, <a_0> (level 1, code 0), <unused_9>."""
    names = [f"<unused_{token}>" for token in range(fmt.vocab_size)]
    for name, token in fmt.special_tokens.items():
        names[token] = f"<{name}>"
    for level, (offset, size) in enumerate(zip(fmt.token_offsets, fmt.level_sizes, strict=True)):
        letter = chr(ord("a") + level)
        names[offset : offset + size] = [f"<{letter}_{code}>" for code in range(size)]
    return tuple(names)


def tokenizer_files(fmt: PromptFormat) -> dict[str, str]:
    """File name to JSON text: a word-level tokenizer of the token names, and its config."""
    names = token_names(fmt)
    pad, marker = names[fmt.pad], names[fmt.marker]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        # As added tokens the names keep their ids under whatever tokenizer class the loader picks: transformers
        # builds its own Qwen2 one for a Qwen2 config and takes only the vocabulary and these from the file.
        "added_tokens": [
            _added(token, name, special=token in (fmt.pad, fmt.marker)) for token, name in enumerate(names)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {name: token for token, name in enumerate(names)},
            "unk_token": pad,
        },
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": pad,
        "unk_token": pad,
        "eos_token": marker,
        "model_max_length": fmt.max_tokens,
        "clean_up_tokenization_spaces": False,
    }
    return {
        TOKENIZER_FILE: json.dumps(tokenizer, ensure_ascii=False),
        TOKENIZER_CONFIG_FILE: json.dumps(config, ensure_ascii=False, indent=2),
    }


def _added(token: int, name: str, *, special: bool) -> dict[str, str | int | bool]:
    return {
        "id": token,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }
