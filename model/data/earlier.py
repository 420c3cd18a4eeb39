"""The beginning of a data set: what was known before a moment, split anew.

Called where a model is to be trained on the past and then to learn from what follows.
"""

# Shapes: E events.

from __future__ import annotations

import dataclasses

import numpy as np

from contracts.errors import BadDataSet
from model.data.data_set import DataSet
from model.data.leave_one_out import leave_one_out
from model.data.requests import number_groups


def earlier(data: DataSet, second: int) -> DataSet:
    """The events before a Unix second; each user's last requests among them are held out.  Items all stay.

    Raises BadDataSet for a log without a clock, and where nothing is left.
    """
    log = data.log
    if not log.clock:
        raise BadDataSet(f"the data set {data.name} has no times (its timestamps are no Unix seconds)")
    kept_E = np.flatnonzero(log.timestamp < second)
    if not len(kept_E):
        raise BadDataSet(f"the data set {data.name} has nothing before that time")
    session_E = number_groups(log.session[kept_E])
    user_E, level_E = log.user[kept_E], log.level[kept_E]
    return dataclasses.replace(
        data,
        log=dataclasses.replace(
            log,
            user=user_E,
            item=log.item[kept_E],
            behavior=log.behavior[kept_E],
            level=level_E,
            timestamp=log.timestamp[kept_E],
            session=session_E,
            split=leave_one_out(user_E, level_E, session_E),
            scene=log.scene[kept_E],
            device=log.device[kept_E],
        ),
    )
