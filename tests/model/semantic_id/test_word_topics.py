"""Topics of words: as a plain computation has them, and no larger than a bundle can carry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.semantic_id import word_topics
from model.semantic_id.word_topics import HASH_PLACES, WordTopics, count_words

TEXTS = ["red nail polish", "", "blue nail polish", "red red soap", "!!!", "soap"]


def test_words_and_pairs_are_counted_by_hash() -> None:
    counts = count_words(["Red red soap", ""])
    assert counts.shape == (2, HASH_PLACES)
    # red twice; soap, "red red", "red soap" once.
    assert sorted(counts.data.tolist()) == [1, 1, 1, 2]
    assert count_words([]).shape == (0, HASH_PLACES)


def test_weights_fall_with_the_number_of_texts_that_have_a_word() -> None:
    topics = WordTopics.fit(count_words(TEXTS), 3, seed=0)
    nail = count_words(["nail"]).indices[0]
    # Four texts have words, two of them this one.
    assert topics.idf[topics.columns.tolist().index(nail)] == pytest.approx(math.log(5 / 3) + 1)


def test_with_every_topic_kept_likeness_is_that_of_the_weighted_words() -> None:
    counts = count_words(TEXTS)
    topics = WordTopics.fit(counts, 50, seed=0)
    row_ND = topics.transform(counts)
    dense_NC = counts[:, topics.columns].toarray()
    weighted_NC = np.where(dense_NC > 0, 1 + np.log(np.maximum(dense_NC, 1)), 0) * topics.idf
    weighted_NC /= np.maximum(np.linalg.norm(weighted_NC, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(row_ND @ row_ND.T, weighted_NC @ weighted_NC.T, atol=2e-3)


def test_the_words_of_the_fewest_texts_give_way_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_topics, "MOST_COLUMNS", 3)
    topics = WordTopics.fit(count_words([*TEXTS, "red nail"]), 2, seed=0)
    assert len(topics.columns) == len(topics.directions) == 3
    kept = {int(count_words([word]).indices[0]) for word in ("red", "nail")}
    assert kept < set(topics.columns.tolist())
    assert (np.diff(topics.columns) > 0).all()


def test_without_a_word_every_row_is_zero() -> None:
    topics = WordTopics.fit(count_words(["", "!!!"]), 4, seed=0)
    assert topics.dims == 4
    row_ND = topics.transform(count_words(["some words", ""]))
    assert row_ND.shape == (2, 4)
    assert not row_ND.any()
