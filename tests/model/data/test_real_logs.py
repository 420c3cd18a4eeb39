"""The three public logs as they are, where they can be found; their counts are those they are known for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.errors import BadDataSet
from model.data.data_set import describe, read_data_set
from model.data.timelines import held_out, training_timelines

ROOT = Path(os.environ.get("RANKGR_DATA", Path(__file__).parents[4] / "shared" / "data"))
# users, items, behaviors, held-out users (None: the log has no order)
KNOWN = {
    "amazon_beauty_2014_5core": (22_363, 12_101, {"purchase": 198_502}, 22_363),
    "taobao_multibehavior": (15_449, 11_953, {"cart": 195_476, "click": 873_954, "purchase": 107_629}, None),
    "trivago_recsys2019_100k": (
        6_593,
        107_603,
        {"click": 72_967, "clickout": 13_597, "exposure": 312_539, "search": 1_044},
        4_161,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_log_is_read_as_it_is_and_has_the_counts_it_is_known_for(name: str) -> None:
    directory = ROOT / name
    if not directory.is_dir():
        pytest.skip(f"{directory} is not there; RANKGR_DATA names the folder that holds the real logs")
    users, items, behaviors, tested = KNOWN[name]
    data = read_data_set(directory)
    told = describe(data)
    assert (told["users"], told["items"], told["behaviors"]) == (users, items, behaviors)
    if tested is None:
        with pytest.raises(BadDataSet, match="has no order"):
            training_timelines(data)
        return
    assert sum(1 for _ in held_out(data)) == tested
    assert sum(1 for _ in training_timelines(data)) > 3000
