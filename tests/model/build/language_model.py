"""A Qwen2 directory as Hugging Face writes one, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

WORDS = ("<unk>", "<|im_start|>", "<|im_end|>", "user", "assistant", "A", "customer", "looked", "at", "What", "next?")
TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message['role'] }} {{ message['content'] }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant{% endif %}"
)
INSTRUCTION = "A customer looked at {history} What next?"


def write_language_model(directory: Path, *, template: bool = True, rows: int = 16, tied: bool = True) -> Path:
    """Eleven words, and an embedding with some rows more than that, as the real ones have."""
    words = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<|im_end|>")
    if template:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        use_sliding_window=False,
    )
    Qwen2ForCausalLM(config).save_pretrained(directory)
    return directory
