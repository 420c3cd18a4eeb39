"""A Qwen2 directory as Hugging Face writes one, small enough to be made in a test."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

INSTRUCTION = "A customer looked at {history} What comes next?"
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BEFORE = "<|im_start|>user\nA customer looked at "
AFTER = " What comes next?<|im_end|>\n<|im_start|>assistant\n"
# More rows than words, as the real ones have.
ROWS = 320


def write_language_model(directory: Path, *, template: bool = True, tied: bool = True) -> Path:
    """Bytes, a few merges and three marks; two narrow layers."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = ByteLevel.alphabet()
    trained.train_from_iterator([INSTRUCTION] * 3, BpeTrainer(vocab_size=280, initial_alphabet=alphabet))
    trained.model.save(str(directory.parent))
    tokenizer = Qwen2Tokenizer(
        vocab=str(directory.parent / "vocab.json"),
        merges=str(directory.parent / "merges.txt"),
        additional_special_tokens=list(MARKS[1:]),
    )
    if template:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=ROWS,
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
