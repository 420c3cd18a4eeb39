"""A sample of held-out users: bounded, by seed, and the same however the log is cut."""

from __future__ import annotations

from pathlib import Path

from contracts.behaviors import Level
from model.build.held_out_sample import held_out_sample
from model.data.data_set import read_data_set, write_data_set
from model.data.log import Split
from model.data.synthetic import make_marketplace
from model.data.timelines import log_held_out
from model.data.user_shards import split_by_user


def test_the_sample_does_not_depend_on_the_shards_but_on_the_seed(tmp_path: Path) -> None:
    write_data_set(make_marketplace(users=60, items=50, seed=2), tmp_path / "data")
    log = read_data_set(tmp_path / "data").log
    shards = split_by_user(tmp_path / "data", tmp_path / "shards", shard_events=700)

    def names(logs: object, seed: int = 0, most: int = 20) -> list[str]:
        return [user.user for user in held_out_sample(logs, Split.TEST, Level.CLICK, most, seed)]  # type: ignore[arg-type]

    assert len(names([log])) == 20
    assert names([log]) == sorted(names([log])) == names(shards.logs())
    assert names([log], seed=1) != names([log])
    everybody = {user.user for user in log_held_out(log, Split.TEST)}
    assert set(names([log], most=1000)) == everybody
