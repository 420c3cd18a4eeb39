"""`rankgr baseline` and `rankgr compare`: the same users and metrics as `rankgr eval`, and differences between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command_line import Run

KS = ("--ks", "5,20")


def test_every_method_is_measured_on_the_users_of_the_bundle(rankgr: Run, micro_bundle: Path, micro_data: Path) -> None:
    ours = rankgr("eval", micro_bundle, micro_data, *KS, "--json").content()
    for method in ("popularity", "cooccurrence", "transitions", "sasrec"):
        found = rankgr("baseline", method, micro_data, *KS, "--epochs", 1, "--json").content()
        assert found["users"] == ours["users"]
        assert found["metrics"].keys() == ours["metrics"].keys()
        assert all(0 <= value <= 1 for values in found["metrics"].values() for value in values.values())
        if method == "popularity":
            assert found["metrics"] == {truth: pytest.approx(values) for truth, values in ours["popularity"].items()}


def test_two_methods_are_compared_user_by_user(
    rankgr: Run, micro_bundle: Path, micro_data: Path, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.parquet", tmp_path / "theirs.parquet"
    means = [
        rankgr("eval", micro_bundle, micro_data, *KS, "--apart", "--per-user", ours, "--json").content(),
        rankgr("baseline", "popularity", micro_data, *KS, "--apart", "--per-user", theirs, "--json").content(),
    ]
    found = rankgr("compare", ours, theirs, "--json").content()
    assert found.keys() >= {"click", "click_again", "click_new", "pv", "purchase"}
    for truth, of in found.items():
        for name, one in of.items():
            difference = means[0]["metrics"][truth][name] - means[1]["metrics"][truth][name]
            assert one["mean"] == pytest.approx(difference)
            assert one["low"] <= one["mean"] <= one["high"]
            assert one["smallest_effect"] >= 0
    shown = rankgr("compare", ours, theirs)
    assert "smallest that would show" in shown.out


def test_misses_cut_the_same_users_by_what_their_truth_is_like(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    kept = [tmp_path / f"{method}.parquet" for method in ("popularity", "cooccurrence")]
    means = [
        rankgr("baseline", path.stem, micro_data, *KS, "--per-user", path, "--json").content()["metrics"]["click"][
            "HR@5"
        ]
        for path in kept
    ]
    parts = rankgr("misses", micro_data, *kept, "--metric", "HR@5", "--json").content()["parts"]
    for by in ("popularity", "history", "relation"):
        own = [part for part in parts if part["by"] == by]
        users = sum(part["users"] for part in own)
        for number, mean in enumerate(means):
            assert sum(part["users"] * part["means"][number] for part in own) / users == pytest.approx(mean)
    assert "had before" in rankgr("misses", micro_data, *kept, "--metric", "HR@5").out
    assert "no HR@3 of truth" in rankgr("misses", micro_data, *kept, "--metric", "HR@3").complaint()


def test_what_cannot_be_compared_is_one_line(rankgr: Run, micro_data: Path, tmp_path: Path) -> None:
    assert "missing" in rankgr("compare", tmp_path / "a.parquet", tmp_path / "b.parquet").complaint()
    kept = tmp_path / "test.parquet"
    rankgr("baseline", "popularity", micro_data, *KS, "--per-user", kept, "--json")
    other = tmp_path / "valid.parquet"
    rankgr("baseline", "popularity", micro_data, *KS, "--split", "valid", "--per-user", other, "--json")
    assert "not the same" in rankgr("compare", kept, other).complaint()


def test_a_log_without_order_and_a_missing_one_are_one_line(rankgr: Run, tmp_path: Path) -> None:
    assert "no directory" in rankgr("baseline", "popularity", tmp_path / "nowhere").complaint()


@pytest.mark.parametrize("words", [("--ks", "0"), ("--prior", "-1"), ("--epochs", "0")])
def test_wrong_use_ends_with_2(rankgr: Run, micro_data: Path, words: tuple[str, ...]) -> None:
    assert rankgr("baseline", "popularity", micro_data, *words).code == 2
