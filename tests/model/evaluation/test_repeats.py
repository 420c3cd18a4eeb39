"""Each truth falls into what the user had clicked before and what is new."""

from __future__ import annotations

import dataclasses

import numpy as np

from model.evaluation.repeats import with_repeats_apart, without_seen

from .small import user


def test_truths_are_cut_in_two() -> None:
    apart = with_repeats_apart(user("a", history=[1, 2, 2], click={2}, pv={2, 7, 8}))
    assert apart.truth == {"click": {2}, "click_again": {2}, "pv": {2, 7, 8}, "pv_again": {2}, "pv_new": {7, 8}}


def test_an_item_that_was_only_shown_is_new() -> None:
    shown = dataclasses.replace(user("a", history=[1, 2], click={2}), levels=np.array([3, 2], np.int8))
    assert with_repeats_apart(shown).truth == {"click": {2}, "click_new": {2}}


def test_what_was_clicked_leaves_the_list_and_what_was_shown_stays() -> None:
    shown = dataclasses.replace(user("a", history=[1, 2, 5]), levels=np.array([3, 2, 4], np.int8))
    assert without_seen(shown, np.array([5, 2, 7, 1, 9])).tolist() == [2, 7, 9]
