"""Seeded users: the same name is the same user, who may come back with more items."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadRequest
from services.bench.engine.bundles import random_catalog
from services.bench.engine.cases import cases_of
from services.bench.engine.shapes import DEFAULT, QWEN, SMALL, Shape
from services.bench.engine.users import Users

USERS = Users(SMALL.prompt_format(), random_catalog(SMALL, 0), 7)


def test_a_prompt_has_the_length_asked_for_and_holds_items_of_the_catalogue() -> None:
    fmt = USERS.prompt_format
    tokens = USERS.prompt((1, 2, 3), 64)
    assert len(tokens) == 64
    history = tokens[: -fmt.context_length].reshape(-1, fmt.item_tokens) - np.array(fmt.token_offsets)
    there = {tuple(row) for row in USERS.catalog.codes.tolist()}
    assert {tuple(row) for row in history.tolist()} <= there
    assert tokens[-1] == fmt.marker


def test_the_same_name_is_the_same_user_and_another_is_not() -> None:
    assert USERS.prompt((1, 2, 3), 64).tolist() == USERS.prompt((1, 2, 3), 64).tolist()
    assert USERS.prompt((1, 2, 3), 64).tolist() != USERS.prompt((1, 2, 4), 64).tolist()


def test_a_user_who_is_back_has_the_same_history_and_more() -> None:
    past, now = USERS.of_items((4,), 20), USERS.of_items((4,), 23)
    context = USERS.prompt_format.context_length
    assert now[: 20 * 2].tolist() == past[:-context].tolist()
    assert now[-context:].tolist() == past[-context:].tolist()
    assert len(now) - len(past) == 3 * 2


def test_a_length_that_no_history_makes_is_refused() -> None:
    with pytest.raises(BadRequest, match="65 tokens"):
        USERS.prompt((0,), 65)


@pytest.mark.parametrize("shape", [DEFAULT, QWEN, SMALL], ids=lambda shape: shape.name)
@pytest.mark.parametrize("quick", [False, True])
def test_every_case_of_every_shape_can_be_asked(shape: Shape, quick: bool) -> None:
    users = Users(shape.prompt_format(), USERS.catalog, 0)
    cases = cases_of(shape, (1, 8, 32), quick=quick)
    assert cases[0].lengths == (shape.prompt_tokens,)
    assert [case.users for case in cases if case.kind == "users"] == [1, 8, 32]
    for case in cases:
        visit = case.visit(users, 0)
        assert tuple(map(len, visit.prompts)) == case.lengths
        assert max(case.lengths) <= shape.prompt_tokens
    assert {case.kind for case in cases} >= {"mixed", "repeat", "prompt", "beams", "lambda", "equal", "plain"}


def test_no_user_comes_twice() -> None:
    """A host's cache would otherwise hold what it never holds in life."""
    seen: set[tuple[int, ...]] = set()
    for case in cases_of(SMALL, (1, 3), quick=False):
        for turn in range(2):
            for prompt in case.visit(USERS, turn).prompts:
                head = tuple(prompt[:16].tolist())
                assert head not in seen
                seen.add(head)
