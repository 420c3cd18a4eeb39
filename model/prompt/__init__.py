"""History and context to tokens: one definition for training and serving (numpy, no torch).

Read `format`, then `build`; `docs/prompt.md` explains the layout.
"""

from model.prompt.build import (
    Prompt,
    build_prompt,
    context_tokens,
    cut_of,
    history_tokens,
    key_positions,
    prompt_from_history,
)
from model.prompt.context import PromptContext
from model.prompt.format import PromptFormat
from model.prompt.tokenizer_files import token_names, tokenizer_files

__all__ = [
    "Prompt",
    "PromptContext",
    "PromptFormat",
    "build_prompt",
    "context_tokens",
    "cut_of",
    "history_tokens",
    "key_positions",
    "prompt_from_history",
    "token_names",
    "tokenizer_files",
]
