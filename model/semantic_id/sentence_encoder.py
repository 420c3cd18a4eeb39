"""A sentence encoder from a local Hugging Face directory: texts to vectors, offline, never a pickle.

Called when semantic ids are made, where a directory is named; it brings torch and transformers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors import SafetensorError

from contracts.errors import BadDataSet
from model.semantic_id.quantiser import Float32s

if TYPE_CHECKING:
    import torch

# Shapes: N texts, b texts at once, T tokens, H dimensions of the encoder.
TEXTS_AT_ONCE = 64
MOST_TOKENS = 256
FINGERPRINT_DIGITS = 12
CONFIG_FILE = "config.json"
_NO_MODEL = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError, SafetensorError)


@dataclass(frozen=True, slots=True, eq=False)
class SentenceEncoder:
    """A model and its tokenizer; `fingerprint`: twelve hex digits of all files that made them."""

    fingerprint: str
    _model: Any
    _tokenizer: Any

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Load it.  Raises BadDataSet, in one line, for anything but a model in safetensors with its tokenizer."""
        if not (directory / CONFIG_FILE).is_file():
            raise BadDataSet(f"{directory} is no sentence encoder: it has no {CONFIG_FILE}")
        if not any(directory.glob("*.safetensors")):
            raise BadDataSet(f"{directory} has no weights in safetensors, and no other format is read")
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise BadDataSet("a sentence encoder needs transformers: install rankgr[encoder]") from None
        try:
            with _no_bars():
                tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
                model = AutoModel.from_pretrained(directory, local_files_only=True, use_safetensors=True)
        except _NO_MODEL as error:
            raise BadDataSet(f"{directory} cannot be loaded as a sentence encoder: {_first_line(error)}") from error
        model = (model.get_encoder() if model.config.is_encoder_decoder else model).float().eval()
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return cls(_fingerprint(directory), model, tokenizer)

    def __call__(self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None) -> Float32s:
        """Means of the last states over each text's tokens, Float32[N, H]; a text without tokens has a zero row.

        Texts are cut at the model's length, at most 256 tokens.  Raises BadDataSet where the model gives NaNs.
        """
        import torch

        # Texts of like length share a batch: padding costs as much as text.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        parts = []
        with torch.inference_mode():
            for first in range(0, len(order), TEXTS_AT_ONCE):
                rows = order[first : first + TEXTS_AT_ONCE]
                parts.append(self._means([texts[row] for row in rows]))
                advance(len(rows))
        made_NH = np.zeros((len(texts), self._width), np.float32)
        if parts:
            made_NH[order] = torch.cat(parts).numpy()
        bad = int((~np.isfinite(made_NH)).any(axis=1).sum())
        if bad:
            raise BadDataSet(f"the sentence encoder gives {bad} of {len(texts)} texts values that are not finite")
        return made_NH

    @property
    def _width(self) -> int:
        return int(self._model.config.hidden_size)

    def _means(self, texts: list[str]) -> torch.Tensor:
        import torch

        longest = min(MOST_TOKENS, int(getattr(self._tokenizer, "model_max_length", MOST_TOKENS)))
        # Blank texts would be special tokens alone, alike for all of them: they say nothing.
        told = [bool(text.strip()) for text in texts]
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=longest, return_tensors="pt", return_token_type_ids=False
        )
        if not tokens["input_ids"].shape[1]:
            return torch.zeros(len(texts), self._width)
        mask_bT1 = tokens["attention_mask"].unsqueeze(-1).float()
        states_bTH = self._model(**tokens).last_hidden_state
        mean_bH: torch.Tensor = (states_bTH * mask_bT1).sum(1) / mask_bT1.sum(1).clamp(min=1.0)
        return mean_bH * mean_bH.new_tensor(told).unsqueeze(-1)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Loading shows no bars of its own: a command's stderr is the command's."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _fingerprint(directory: Path) -> str:
    """Names and contents of the files that say what the encoder computes."""
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt", ".model") and path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:160]
