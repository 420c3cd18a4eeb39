"""Begin a training with a language model: a local Hugging Face Qwen2 or Qwen2.5 directory.

Its weights, tokenizer and chat template are kept; the tokens of prompts and semantic ids join behind its vocabulary.
Nothing is fetched.  transformers is imported here alone, and only when a directory is named.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from contracts.errors import BadBundle, BadConfig
from model.build.beginning import even_chance
from model.build.network import decode_defaults, rank_head_shape
from model.build.recipe import Recipe
from model.bundle.verify import sha256_of
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat, token_names

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
KEPT_FILES = ("generation_config.json",)


@dataclass(frozen=True, slots=True)
class FromHuggingFace:
    """A directory that was looked at: `base` is its config.json, `tokenizer` what transformers makes of its files."""

    directory: Path
    base: Mapping[str, object]
    tokenizer: Any

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Raises BadConfig with one line where this is no such directory, or transformers is not installed."""
        try:
            base = json.loads((directory / CONFIG).read_bytes())
        except (OSError, ValueError) as error:
            raise BadConfig(f"{directory} is no Hugging Face model: {CONFIG} cannot be read ({error})") from error
        if not isinstance(base, dict) or base.get("model_type") != "qwen2":
            raise BadConfig(f"{directory} is no Qwen2 model: {CONFIG} says {_kind(base)!r}")
        if not (directory / TOKENIZER).is_file():
            raise BadConfig(f"{directory} has no {TOKENIZER}")
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise BadConfig("--init needs transformers: pip install 'rankgr[init]'") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise BadConfig(f"{directory}: its tokenizer cannot be read ({' '.join(str(error).split())})") from error
        return cls(directory, base, tokenizer)

    def name(self) -> str:
        """The directory's name and a fingerprint of its configuration and weights."""
        digest = "".join(sha256_of(path)[:4] for path in (self.directory / CONFIG, *self._weight_files()))
        return f"{self.directory.resolve().name} {digest}"

    def prompt_format(self, fmt: PromptFormat, instruction: str) -> PromptFormat:
        """Behind the tokenizer's vocabulary; the instruction as its chat template writes it, if it has one."""
        moved = fmt.behind(self._vocabulary)
        if not getattr(self.tokenizer, "chat_template", None):
            return moved
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}], add_generation_prompt=True, tokenize=False
        )
        if text.count("{history}") != 1:
            raise BadConfig(f"{self.directory}: its chat template does not keep the instruction's {{history}}")
        before, after = (self._ids(part) for part in text.split("{history}"))
        return replace(moved, before=before, after=after)

    def network(self, recipe: Recipe, fmt: PromptFormat, seed: int) -> RankGRNetwork:
        """Its backbone under a rank head drawn anew; new tokens begin near the mean of the old ones."""
        network = RankGRNetwork(self._config(recipe, fmt))
        network.initialise(seed, even_chance(fmt))
        weights = self._weights()
        own = network.state_dict()
        embedding, old = own["model.embed_tokens.weight"], weights.pop("model.embed_tokens.weight", None)
        if old is None or old.shape[1] != embedding.shape[1]:
            raise BadConfig(f"{self.directory}: its embedding does not fit its {CONFIG}")
        backbone = {name for name in own if name.startswith("model.")} - {"model.embed_tokens.weight"}
        if missing := sorted(backbone - set(weights)):
            raise BadConfig(f"{self.directory}: its weights lack {missing[0]}")
        for name in backbone:
            if weights[name].shape != own[name].shape:
                raise BadConfig(
                    f"{self.directory}: {name} has shape {list(weights[name].shape)}, {CONFIG} says otherwise"
                )
            own[name].copy_(weights[name])
        # Rows behind the tokenizer's own are padding of the matrix: some of them get a meaning now.
        known = min(self._vocabulary, len(old))
        embedding += old[:known].mean(0)
        embedding[:known] = old[:known]
        return network.eval()

    def tokenizer_files(self, fmt: PromptFormat) -> Mapping[str, str | bytes]:
        """The directory's own tokenizer, with the new tokens as words that stand for themselves."""
        from transformers import AddedToken

        first = self._vocabulary
        names = [self._free(name) for name in token_names(fmt)[first : fmt.used_tokens]]
        with tempfile.TemporaryDirectory() as place:
            # Read anew: this object's own tokenizer must go on telling the vocabulary that it came with.
            tokenizer = type(self).read(self.directory).tokenizer
            tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
            if tokenizer.convert_tokens_to_ids(names) != list(range(first, fmt.used_tokens)):
                raise BadConfig(f"{self.directory}: its tokenizer does not take new tokens behind its own")
            tokenizer.save_pretrained(place)
            files: dict[str, str | bytes] = {
                path.name: path.read_bytes() for path in Path(place).iterdir() if path.is_file()
            }
        for name in KEPT_FILES:
            if (self.directory / name).is_file():
                files[name] = (self.directory / name).read_bytes()
        return files

    @property
    def _vocabulary(self) -> int:
        """Ids that the tokenizer knows, which may be fewer than the embedding has rows."""
        return 1 + max(int(token) for token in self.tokenizer.get_vocab().values())

    def _free(self, name: str) -> str:
        if name in self.tokenizer.get_vocab():
            raise BadConfig(f"{self.directory}: its tokenizer has a token {name!r} already")
        return name

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _config(self, recipe: Recipe, fmt: PromptFormat) -> RankGRConfig:
        hidden_size = self.base.get("hidden_size")
        if not isinstance(hidden_size, int):
            raise BadConfig(f"{self.directory}: {CONFIG} has no hidden_size")
        rows = self.base.get("vocab_size")
        section = {
            "levels": [
                {"size": size, "token_offset": offset}
                for size, offset in zip(fmt.level_sizes, fmt.token_offsets, strict=True)
            ],
            "special_tokens": dict(fmt.special_tokens),
            "prompt": fmt.prompt_section(),
            "rank_head": rank_head_shape(recipe.network, hidden_size),
            "decode": decode_defaults(recipe),
        }
        fields = {
            **self.base,
            "vocab_size": max(rows if isinstance(rows, int) else 0, fmt.vocab_size),
            "dtype": "float32",
            "rankgr": section,
        }
        fields.pop("torch_dtype", None)
        try:
            config = RankGRConfig.from_json(fields)
        except BadBundle as error:
            raise BadConfig(f"{self.directory}: {error}") from error
        if config.max_prompt_tokens < fmt.max_tokens:
            raise BadConfig(
                f"{self.directory}: the model takes {config.max_prompt_tokens} tokens, prompts have {fmt.max_tokens}"
            )
        return config

    def _weight_files(self) -> list[Path]:
        index = self.directory / INDEX
        if not index.is_file():
            return [self.directory / WEIGHTS]
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise BadConfig(f"{index} is no index of weights") from error
        return [self.directory / str(name) for name in names]

    def _weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        for path in self._weight_files():
            try:
                weights |= load_file(path)
            except (OSError, SafetensorError) as error:
                raise BadConfig(f"{path} is no safetensors file: {error}") from error
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
            raise BadConfig(f"{self.directory}: its weights hold values that are not finite")
        return weights


def _kind(base: object) -> object:
    return base.get("model_type") if isinstance(base, dict) else type(base).__name__
