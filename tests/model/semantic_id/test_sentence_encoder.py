"""Sentence encoders: any small Hugging Face directory, loaded offline and without pickles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel, T5Config, T5Model

from contracts.errors import BadBundle, BadDataSet
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.sentence_topics import SentenceTopics
from model.semantic_id.text_features import FittedTextFeatures
from tests.tiny_encoder import WORDS, save_tokenizer, tiny_bert

TEXTS = ["red polish", "blue polish", "mild hair soap", "", "hair brush", "soap", "  "]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("encoders") / "bert")


def test_a_text_is_the_mean_of_its_tokens_whatever_stands_beside_it(bert: Path) -> None:
    encoder = SentenceEncoder.read(bert)
    seen: list[int] = []
    together_NH = encoder(TEXTS, seen.append)
    assert sum(seen) == len(TEXTS)
    assert together_NH.dtype == np.float32
    model = BertModel.from_pretrained(bert).eval()
    tokens = torch.tensor([[2, 9, 10, 7, 3]])
    with torch.no_grad():
        wanted_H = model(tokens).last_hidden_state.mean(1)[0]
    np.testing.assert_allclose(together_NH[2], wanted_H.numpy(), atol=1e-5)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder([text])[0], together_NH[row], atol=1e-5)


def test_a_blank_text_has_a_zero_row_and_no_text_has_no_rows(bert: Path) -> None:
    encoder = SentenceEncoder.read(bert)
    assert encoder(TEXTS).any(axis=1).tolist() == [True, True, True, False, True, True, False]
    assert encoder([]).shape == (0, 16)


def test_of_a_model_with_a_decoder_the_encoder_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert SentenceEncoder.read(tmp_path)(TEXTS).shape == (7, 16)


def test_the_fingerprint_is_that_of_the_weights_not_of_the_place(bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bert, tmp_path / "copy")
    other = tiny_bert(tmp_path / "other", seed=1)
    known = SentenceEncoder.read(bert).fingerprint
    assert SentenceEncoder.read(copy).fingerprint == known
    assert SentenceEncoder.read(other).fingerprint != known


def test_what_is_no_encoder_is_refused_in_one_line(bert: Path, tmp_path: Path) -> None:
    def refusal(directory: Path) -> str:
        with pytest.raises(BadDataSet) as caught:
            SentenceEncoder.read(directory)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "has no config.json" in refusal(tmp_path)
    pickled = shutil.copytree(bert, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "no weights in safetensors" in refusal(pickled)
    cut = shutil.copytree(bert, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:100])
    assert "cannot be loaded" in refusal(cut)
    strange = shutil.copytree(bert, tmp_path / "strange")
    (strange / "config.json").write_text('{"model_type": "abacus"}')
    assert "cannot be loaded" in refusal(strange)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    spoilt = tiny_bert(tmp_path / "spoilt")
    model = BertModel.from_pretrained(spoilt)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[4] = float("nan")
    model.save_pretrained(spoilt)
    with pytest.raises(BadDataSet, match="gives 1 of 7 texts values that are not finite"):
        SentenceEncoder.read(spoilt)(TEXTS)


def test_topics_are_the_principal_directions_of_the_centred_vectors() -> None:
    chance = np.random.default_rng(0)
    vectors_NH = (chance.standard_normal((50, 3)) @ chance.standard_normal((3, 8)) + 5.0).astype(np.float32)
    vectors_NH[7] = 0.0
    topics = SentenceTopics.fit(vectors_NH, 3, "x")
    rows_ND = topics.transform(vectors_NH)
    assert not rows_ND[7].any()
    told = np.delete(vectors_NH, 7, axis=0)
    centred = told - told.mean(0)
    # Three directions hold all of it: likenesses are those of the centred vectors.
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    made = np.delete(rows_ND, 7, axis=0)
    np.testing.assert_allclose(made @ made.T, unit @ unit.T, atol=1e-4)


def test_more_dimensions_than_the_encoder_has_are_filled_with_zeros() -> None:
    topics = SentenceTopics.fit(np.eye(4, dtype=np.float32), 9, "x")
    assert topics.dims == 9
    assert not topics.transform(np.eye(4, dtype=np.float32))[:, 4:].any()
    assert SentenceTopics.fit(np.zeros((2, 4), np.float32), 3, "x").transform(np.zeros((2, 4), np.float32)).shape == (
        2,
        3,
    )


def test_text_features_stand_on_the_encoder_and_keep_city_and_price(bert: Path) -> None:
    encoder = SentenceEncoder.read(bert)
    texts = [f"Town{row % 4} | {TEXTS[row % 3]} | price {50 + row}" for row in range(40)]
    fitted, rows_ND = FittedTextFeatures.fit_transform(texts, 12, 0, encoder)
    assert (fitted.dims, fitted.encoder_fingerprint) == (12, encoder.fingerprint)
    assert fitted.facets is not None
    assert fitted.prices is not None
    np.testing.assert_allclose(fitted.transform(texts), rows_ND, atol=1e-5)
    again = FittedTextFeatures.from_arrays(fitted.to_arrays(), fitted.facet_names, fitted.encoder_fingerprint, encoder)
    np.testing.assert_allclose(again.transform(texts), rows_ND, atol=1e-5)


def test_without_the_encoder_features_can_be_read_and_place_no_text(bert: Path, tmp_path: Path) -> None:
    encoder = SentenceEncoder.read(bert)
    fitted = FittedTextFeatures.fit(TEXTS, 4, 0, encoder)
    alone = FittedTextFeatures.from_arrays(fitted.to_arrays(), (), encoder.fingerprint)
    with pytest.raises(BadDataSet, match=f"sentence encoder {encoder.fingerprint}: name its directory"):
        alone.transform(TEXTS)
    other = SentenceEncoder.read(tiny_bert(tmp_path / "other", seed=1))
    with pytest.raises(BadBundle, match=f"come from sentence encoder {encoder.fingerprint}; the one given is"):
        FittedTextFeatures.from_arrays(fitted.to_arrays(), (), encoder.fingerprint, other)
    words = FittedTextFeatures.fit(TEXTS, 4, 0)
    with pytest.raises(BadBundle, match="come from words"):
        FittedTextFeatures.from_arrays(words.to_arrays(), (), "", other)
