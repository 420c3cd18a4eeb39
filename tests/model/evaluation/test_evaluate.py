"""Evaluation of popularity, whose list everybody can write down."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from model.data.timelines import HeldOut
from model.evaluation.evaluate import Evaluated, evaluate, measure_users
from model.evaluation.recommender import Popularity, Ranking
from model.evaluation.repeats import with_repeats_apart

from .small import popular_catalog, user

# By popularity, ties to the lower id: 4, 2, 9, 7, 1.
CATALOG = popular_catalog({1: 0.0, 2: 5.0, 4: 9.0, 7: 2.0, 9: 5.0})
ORDER = [4, 2, 9, 7, 1]


def test_popularity_is_one_list_by_popularity_then_id() -> None:
    rankings = Popularity(CATALOG)([user("a"), user("b", history=[4, 2])])
    assert [ranking.item_R.tolist() for ranking in rankings] == [ORDER, ORDER]
    assert rankings[0].score_R.tolist() == [9.0, 5.0, 5.0, 2.0, 0.0]


def test_metrics_are_means_over_the_users_that_have_such_a_truth() -> None:
    users = [
        user("a", click={4}),
        user("b", click={9, 100}, purchase={1}),
        user("c", click={7}, pv={2, 4}),
        user("d", purchase=set()),
    ]
    found = evaluate(Popularity(CATALOG), users, ks=(1, 3))
    assert set(found) == {"click", "purchase", "pv"}
    assert found["click"]["HR@1"] == pytest.approx(1 / 3)
    assert found["click"]["HR@3"] == pytest.approx((1 + 0.5 + 0) / 3)
    both = 1 + 1 / math.log2(3)
    assert found["click"]["NDCG@3"] == pytest.approx((1 + 0.5 / both) / 3)
    assert found["purchase"] == {"HR@1": 0.0, "NDCG@1": 0.0, "HR@3": 0.0, "NDCG@3": 0.0}
    assert found["pv"] == {"HR@1": 0.5, "NDCG@1": 1.0, "HR@3": 1.0, "NDCG@3": 1.0}


def test_nobody_to_evaluate_gives_no_metric() -> None:
    assert evaluate(Popularity(CATALOG), [], ks=(1,)) == {}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_batches_change_nothing_and_everybody_is_counted_once(batch: int) -> None:
    users = [user(str(number), history=[1] * (1 + number % 4), click={ORDER[number % 5]}) for number in range(7)]
    kept: list[Evaluated] = []
    advanced: list[int] = []
    found = evaluate(Popularity(CATALOG), users, (2,), batch, advance=advanced.append, keep=kept.append)
    # Items at ranks 1 to 5, then 1 and 2 again: four of seven lists hold theirs among the first two.
    assert found["click"]["HR@2"] == pytest.approx(4 / 7)
    assert sum(advanced) == 7
    assert max(advanced) <= batch
    assert sorted(each.user.user for each in kept) == [str(number) for number in range(7)]


def test_filtered_metrics_ask_for_new_items_in_the_list_without_old_ones() -> None:
    # The list is 4, 2, 9, 7, 1.
    users = [user("a", history=[4, 2], click={9}), user("b", history=[7], click={7, 1}), user("c", [9], click={9})]
    found = measure_users(Popularity(CATALOG), [with_repeats_apart(each) for each in users], ks=(1, 4)).truths
    assert set(found) == {"click", "click_again", "click_new", "click_filtered"}
    # Nothing of c's truth is new; a's item moves up by two, b's new one by one.
    assert found["click_filtered"].users == found["click_new"].users == ("a", "b")
    assert found["click_filtered"].column("HR@1").tolist() == [1.0, 0.0]
    assert found["click_new"].column("HR@4").tolist() == [1.0, 0.0]
    assert found["click_filtered"].column("HR@4").tolist() == [1.0, 1.0]


class ByHistory:
    """Recommends what the user had, last first: a list that differs from user to user."""

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One list each."""
        catalog = popular_catalog({item: float(item) for item in range(1, 10)})
        whole = Popularity(catalog)([users[0]])[0]
        return [Ranking(whole.item_R[-len(each.items) :], whole.score_R[-len(each.items) :]) for each in users]


def test_each_user_is_judged_by_the_list_made_for_them() -> None:
    # A history of n items gives the n lowest ids; each user's truth is the item n.
    users = [user(str(number), history=list(range(number)), click={number}) for number in (5, 1, 3, 2, 4)]
    found = evaluate(ByHistory(), users, ks=(1,), batch=2)
    assert found["click"]["HR@1"] == 1.0
