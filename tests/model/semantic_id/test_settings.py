"""Settings of semantic ids: what makes no ids is refused at once, by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadRequest
from model.semantic_id.settings import RqVaeSettings, SidSettings, parse_levels, parse_rqvae


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("2x256", (256, 256)),
        ("2x2048", (2048, 2048)),
        ("3x256", (256, 256, 256)),
        ("2x32768", (32768, 32768)),
        (" 2 X 256 ", (256, 256)),
        ("1024,4096,32768", (1024, 4096, 32768)),
        ("512", (512,)),
    ],
)
def test_levels_are_free(text: str, sizes: tuple[int, ...]) -> None:
    assert parse_levels(text) == sizes


@pytest.mark.parametrize("text", ["", "x", "2x", "x256", "0x256", "2xy", "256,", "-2x256", "2x-256", "²x256", "99x256"])
def test_what_is_no_list_of_levels_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="levels: "):
        parse_levels(text)


@given(st.lists(st.integers(2, 2**20), min_size=1, max_size=5))
def test_any_list_of_sizes_goes_through_its_text(sizes: list[int]) -> None:
    assert parse_levels(",".join(map(str, sizes))) == tuple(sizes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"level_sizes": (256, 1)}, "levels: level 2 has 1 code, which tells no items apart"),
        ({"level_sizes": (0, 4)}, "levels: level 1 has 0 codes"),
        ({"level_sizes": (2**20 + 1,)}, "levels: level 1 has"),
        ({"level_sizes": ()}, "levels: at least one"),
        ({"level_sizes": (2**20,) * 4}, "more ids than can be counted"),
        ({"last_level": "popularity", "level_sizes": (4,)}, "last_level: popularity ranks"),
        ({"last_level": "popularity", "method": "rqvae"}, "last_level: popularity ranks"),
        ({"cap": 0}, "cap: 0 is not above 0"),
        ({"dims": 0}, "dims: "),
        ({"window": 0}, "window: "),
        ({"text_share": 1.5}, "text_share: 1.5 does not lie in 0.0 to 1.0"),
        ({"text_share": float("nan")}, "text_share: nan"),
        ({"most_items": -1}, "most_items: "),
    ],
)
def test_values_that_make_no_ids_are_refused_by_name(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint) as caught:
        SidSettings(**changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_settings_of_the_rqvae_are_read_over_its_defaults() -> None:
    assert parse_rqvae("") == RqVaeSettings()
    assert parse_rqvae(" steps=400 , warm_up=20, learning_rate=1e-2") == RqVaeSettings(
        steps=400, warm_up=20, learning_rate=1e-2
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stepz=3", "rqvae: 'stepz' is none of latent, hidden, steps"),
        ("steps=many", "rqvae: 'many' is no value for steps"),
        ("steps", "rqvae: '' is no value"),
        ("steps=0", "rqvae: steps: 0 is not above 0"),
        ("learning_rate=inf", "rqvae: learning_rate: inf"),
        ("steps=10,warm_up=11", "rqvae: warm_up: 11"),
        ("contrast=2", "rqvae: contrast: 2.0"),
    ],
)
def test_wrong_settings_of_the_rqvae_are_refused_by_name(text: str, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        parse_rqvae(text)


def test_a_manifest_keeps_only_what_the_method_reads() -> None:
    assert not any(name.startswith("rqvae") for name in SidSettings().as_json())
    assert SidSettings(method="rqvae").as_json()["rqvae_steps"] == RqVaeSettings().steps
    assert SidSettings().as_json()["history_level"] == "click"
    assert SidSettings(level_sizes=(4, 8)).places == 32
