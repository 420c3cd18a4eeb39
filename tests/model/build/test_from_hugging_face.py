"""A training that begins with a language model keeps its weights, its tokenizer and its template."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from contracts.behaviors import Level
from contracts.errors import BadConfig
from contracts.progress import Silent
from model.build.build_bundle import BuildBundle
from model.build.from_hugging_face import FromHuggingFace
from model.build.recipe import PromptConfig, Recipe
from model.build.source import Source
from model.bundle.read import Bundle, read_bundle
from model.data.synthetic import make_marketplace
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from model.prompt import PromptContext, prompt_from_history

from .language_model import AFTER, BEFORE, INSTRUCTION, write_language_model
from .small import NOW, small_recipe

RECIPE = small_recipe(prompt=PromptConfig(max_tokens=160, instruction=INSTRUCTION))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("qwen") / "small-qwen")


def built(model: Path, out: Path, recipe: Recipe = RECIPE, tokens: int = 2_000) -> Bundle:
    data = make_marketplace(users=40, items=60, seed=3)
    chosen = dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, tokens=tokens))
    beginning = FromHuggingFace.read(model)
    source = Source.of(data, preset="small", recipe=chosen, seed=0, release="1", init=beginning.name())
    BuildBundle(chosen, source, Silent(), NOW, beginning)(data, out)
    return read_bundle(out)


@pytest.fixture(scope="module")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(model, tmp_path_factory.mktemp("built") / "bundle")


def test_the_network_begins_as_the_language_model_s(model: Path, bundle: Bundle) -> None:
    fmt, beginning = bundle.prompt_format, FromHuggingFace.read(model)
    network = beginning.network(RECIPE, fmt, seed=0)
    theirs = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
    tokens = torch.tensor([[1, 3, 5, 6, 2, 9]])
    with torch.no_grad():
        ours = network(tokens, torch.arange(6)[None])
        expected = theirs.model(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    embedding = network.model.embed_tokens.weight.detach()
    mean = embedding[: min(fmt.special_tokens.values())].mean(0)
    new = embedding[fmt.token_offsets[0] : fmt.used_tokens]
    assert float((new.mean(0) - mean).abs().max()) < 0.02


def test_the_bundle_loads_with_transformers_and_its_tokenizer_knows_words_and_items(
    model: Path, bundle: Bundle
) -> None:
    fmt = bundle.prompt_format
    tokenizer, theirs = AutoTokenizer.from_pretrained(bundle.path), AutoTokenizer.from_pretrained(model)
    words = theirs(BEFORE)["input_ids"]
    assert tokenizer(f"{BEFORE}<a_3><b_0>")["input_ids"] == [*words, fmt.token_offsets[0] + 3, fmt.token_offsets[1]]
    assert tokenizer.convert_tokens_to_ids("<marker>") == fmt.marker
    assert tokenizer.chat_template == theirs.chat_template
    assert tokenizer.decode(words) == BEFORE
    assert AutoModelForCausalLM.from_pretrained(bundle.path).config.vocab_size >= fmt.used_tokens


def test_a_prompt_is_the_template_around_the_history_and_its_words_are_no_keys(model: Path, bundle: Bundle) -> None:
    fmt, items = bundle.prompt_format, bundle.catalog.item_id[:2]
    front, back = (AutoTokenizer.from_pretrained(model)(text)["input_ids"] for text in (BEFORE, AFTER))
    prompt = prompt_from_history(fmt, bundle.catalog, items, [int(Level.CLICK)] * 2, PromptContext())
    codes = (bundle.catalog.codes[:2] + np.array(fmt.token_offsets)).reshape(-1)
    assert prompt.tokens[: len(front)].tolist() == front
    assert prompt.tokens[len(front) : len(front) + 4].tolist() == codes.tolist()
    assert prompt.key_positions.tolist() == list(range(len(front), len(front) + 4))
    assert prompt.tokens[-len(back) - 1 :].tolist() == [*back, fmt.marker]
    # A history that is too long loses its oldest items, not the instruction.
    long = np.tile(bundle.catalog.item_id, 3)
    cut = prompt_from_history(fmt, bundle.catalog, long, [int(Level.CLICK)] * len(long), PromptContext())
    assert len(cut.tokens) <= fmt.max_tokens
    assert cut.tokens[: len(front)].tolist() == front


def test_it_recommends(bundle: Bundle) -> None:
    fmt, items = bundle.prompt_format, bundle.catalog.item_id[:3]
    prompt = prompt_from_history(fmt, bundle.catalog, items, [int(Level.CLICK)] * 3, PromptContext())
    [found] = TwoStageDecoder(bundle.network(), bundle.catalog)([DecodeRequest(prompt.tokens)])
    assert isinstance(found, DecodeResult)
    assert len(found.item_id) > 5


def test_the_manifest_says_where_it_began(bundle: Bundle) -> None:
    assert str(bundle.manifest.data["init"]).startswith("small-qwen ")


def test_a_model_without_a_template_gets_no_instruction(tmp_path: Path) -> None:
    plain = write_language_model(tmp_path / "plain", template=False)
    fmt = built(plain, tmp_path / "bundle", tokens=200).prompt_format
    assert (fmt.before, fmt.after) == ((), ())


def damaged(path: Path, name: str, change: object) -> None:
    content = json.loads((path / name).read_text())
    content.update(change)
    (path / name).write_text(json.dumps(content))


def test_what_is_no_such_model_is_refused_in_one_line(tmp_path: Path) -> None:
    def refused(model: Path) -> str:
        with pytest.raises(BadConfig) as caught:
            built(model, tmp_path / "bundle", tokens=100)
        assert not (tmp_path / "bundle").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "config.json cannot be read" in refused(tmp_path / "nowhere")
    assert "tie_word_embeddings" in refused(write_language_model(tmp_path / "untied", tied=False))
    other = write_language_model(tmp_path / "other")
    damaged(other, "config.json", {"model_type": "llama"})
    assert "no Qwen2 model" in refused(other)
    short = write_language_model(tmp_path / "short")
    damaged(short, "config.json", {"max_position_embeddings": 90})
    assert "takes 89 tokens" in refused(short)
    wordless = write_language_model(tmp_path / "wordless")
    (wordless / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refused(wordless)
    weightless = write_language_model(tmp_path / "weightless")
    (weightless / "model.safetensors").write_bytes(b"nothing")
    assert "no safetensors file" in refused(weightless)
    shallow = write_language_model(tmp_path / "shallow")
    damaged(shallow, "config.json", {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3})
    assert "weights lack model.layers.2" in refused(shallow)
