"""Users keep their replica when others come and go, and spread evenly over those there are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import UserId
from services.gateways.inference.rendezvous import replicas_of

NAMES = st.sets(st.integers(0, 50).map(lambda number: f"http://engine-{number}:8103"), min_size=1, max_size=8)
USERS = st.sets(st.text(min_size=1, max_size=20).map(UserId), min_size=1, max_size=30)


@given(names=NAMES, users=USERS, data=st.data())
def test_the_order_is_all_names_whatever_order_they_are_given_in(
    names: set[str], users: set[UserId], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(sorted(names)))
    for user in users:
        assert set(replicas_of(user, names)) == names
        assert replicas_of(user, names) == replicas_of(user, shuffled)


@given(names=NAMES, users=USERS, data=st.data())
def test_one_that_goes_moves_its_own_users_to_their_next_and_nobody_else(
    names: set[str], users: set[UserId], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(names)))
    for user in users:
        before = replicas_of(user, names)
        assert replicas_of(user, names - {gone}) == tuple(name for name in before if name != gone)


@given(names=NAMES, users=USERS, number=st.integers(51, 60))
def test_one_that_comes_takes_users_to_itself_alone(names: set[str], users: set[UserId], number: int) -> None:
    new = f"http://engine-{number}:8103"
    for user in users:
        before, after = replicas_of(user, names), replicas_of(user, names | {new})
        assert after[0] in (new, before[0])


def test_users_spread_evenly() -> None:
    names = [f"http://engine-{number}:8103" for number in range(4)]
    first = Counter(replicas_of(UserId(f"user-{number}"), names)[0] for number in range(8000))
    second = Counter(
        order[1] for number in range(8000) if (order := replicas_of(UserId(f"user-{number}"), names))[0] == names[0]
    )
    assert all(abs(first[name] - 2000) < 200 for name in names)
    # Whom one loses, the others share: its users do not fall on a single neighbour.
    assert all(abs(second[name] - first[names[0]] / 3) < 100 for name in names[1:])
