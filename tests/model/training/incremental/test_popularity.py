"""What is popular now follows the stream: decayed, by users, by scene, and only of what the catalogue has."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.behaviors import Level
from contracts.manifest import PopularList
from model.semantic_id.catalog import Catalog
from model.training.incremental.config import IncrementalConfig, PopularConfig
from model.training.incremental.intake import Intake
from model.training.incremental.popularity import Popularity
from model.training.incremental.stream_sample import StreamSample

HOUR_MS = 3_600_000
BEGAN_MS = 1_763_769_600_000
CONFIG = PopularConfig(half_life_ms=HOUR_MS, prior=4.0)
LISTS = PopularList(default=(1, 2, 3, 4, 5), scenes={"home": (5, 4, 3)})
CATALOG = Catalog(
    item_id=np.arange(1, 9),
    codes=np.array([[n // 3, n % 3] for n in range(8)], np.int32),
    popularity=np.ones(8, np.float32),
    level_sizes=(3, 3),
)


def click(
    user: str, *items: int, hours: float = 0.0, scene: str | None = None, level: Level = Level.CLICK
) -> StreamSample:
    return StreamSample(
        sample_id=f"{user}-{hours}-{items}",
        revision=0,
        user=user,
        requested_at=BEGAN_MS,
        newest_event_at=BEGAN_MS + round(hours * HOUR_MS),
        scene=scene,
        device=None,
        item=np.array(items, "<i8").tobytes(),
        level=np.full(len(items), level, np.int8).tobytes(),
        past_item=b"",
        past_level=b"",
    )


def begun(config: PopularConfig = CONFIG) -> Popularity:
    made = Popularity(config)
    made.begin(LISTS)
    return made


def default(one: Popularity) -> tuple[int, ...]:
    return one.lists(CATALOG, LISTS).default


def test_without_clicks_the_lists_are_those_that_were_taken_in() -> None:
    assert begun().lists(CATALOG, LISTS) == LISTS


def test_a_few_clicks_move_little_and_many_move_an_item_to_the_top() -> None:
    one = begun()
    one.take(click("ann", 4))
    # The prior is 4 clicks over 1 + 1/2 + ... + 1/5: one more is worth two places here.
    assert default(one) == (1, 4, 2, 3, 5)
    for number in range(5):
        one.take(click(f"u{number}", 7))
    assert default(one)[0] == 7
    assert len(default(one)) == len(LISTS.default)


def test_one_user_makes_nothing_popular_alone() -> None:
    one = begun()
    for number in range(50):
        one.take(click("zealous", 7, hours=number * 0.01))
    again = begun()
    again.take(click("zealous", 7))
    assert default(one) == default(again)
    # After a half-life it counts once more.
    one.take(click("zealous", 7, hours=1.6))
    one.take(click("zealous", 7, hours=2.7))
    assert default(one)[0] == 7


def test_what_was_popular_fades() -> None:
    one = begun()
    for number in range(6):
        one.take(click(f"u{number}", 6))
    assert default(one)[0] == 6
    for number in range(3):
        one.take(click(f"v{number}", 7, hours=3))
    assert default(one)[:2] == (7, 6)


def test_a_scene_has_its_own_list_and_unknown_scenes_none() -> None:
    one = begun()
    for number in range(6):
        one.take(click(f"u{number}", 3, scene="home"))
        one.take(click(f"u{number}", 2, scene="anywhere"))
    lists = one.lists(CATALOG, LISTS)
    assert lists.scenes["home"][0] == 3
    assert set(lists.scenes) == {"home"}
    assert set(lists.default[:2]) == {2, 3}


def test_exposures_do_not_count_and_items_of_no_catalogue_are_left_out() -> None:
    one = begun()
    for number in range(9):
        one.take(click(f"u{number}", 8, level=Level.EXPOSURE))
        one.take(click(f"u{number}", 77))
    assert default(one) == LISTS.default
    smaller = Catalog(CATALOG.item_id[1:], CATALOG.codes[1:], CATALOG.popularity[1:], (3, 3))
    assert one.lists(smaller, LISTS).default == LISTS.default[1:]


def test_another_bundle_s_list_is_taken_in_as_it_is_now_worth() -> None:
    one = begun()
    one.take(click("bob", 1))
    one.take(click("ann", 1, hours=20))
    one.begin(PopularList(default=(8, 7), scenes={}))
    # Twenty half-lives made the first list next to nothing.
    assert default(one)[:3] == (8, 7, 1)


def test_switched_off_nothing_is_counted() -> None:
    one = begun(PopularConfig())
    one.take(click("ann", 7))
    assert one.empty


@pytest.mark.parametrize("hours", [100.0, 1e6])
def test_a_long_silence_is_no_matter(hours: float) -> None:
    one = begun()
    one.take(click("ann", 6))
    one.take(click("bob", 7, hours=hours))
    assert default(one)[0] == 7
    one.take(click("cid", 3))
    assert default(one)[0] == 7


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 8), st.floats(0, 200), st.sampled_from([None, "home"])),
        max_size=60,
    )
)
def test_it_counts_as_a_slow_count_does_and_a_restart_changes_nothing(
    told: list[tuple[int, int, float, str | None]],
) -> None:
    samples = [click(f"u{user}", item, hours=hours, scene=scene) for user, item, hours, scene in sorted(told, key=str)]
    config = IncrementalConfig(popular=dataclasses.replace(CONFIG, prior=1e-9))
    whole, parted = Intake(config), Intake(config)
    for intake in (whole, parted):
        intake.popular.begin(LISTS)
    slow: dict[int, float] = defaultdict(float)
    last: dict[tuple[str, int], int] = {}
    newest = max((sample.newest_event_at for sample in samples), default=0)
    for sample in {sample.sample_id: sample for sample in reversed(samples)}.values():
        whole.take(sample)
        parted.take(sample)
        parted = Intake.read(parted.write(), config)
        [item] = sample.items_K.tolist()
        before = last.get((sample.user, item))
        if before is None or sample.newest_event_at - before >= HOUR_MS:
            last[sample.user, item] = sample.newest_event_at
            slow[item] += 2.0 ** ((sample.newest_event_at - newest) / HOUR_MS)
    assert parted.write() == whole.write()
    found = default(whole.popular)
    counts = [slow[item] for item in found]
    assert all(left >= right * (1 - 1e-6) - 1e-6 for left, right in pairwise(counts))
