"""A log that lends its last training requests as a validation, where it brings none: to choose settings by.

Called when semantic ids are to be measured on rows that they were not made from.
"""

# Shapes: E events, U users.

from __future__ import annotations

import dataclasses

import numpy as np

from model.data.data_set import DataSet
from model.data.log import Split


def hold_out_last(data: DataSet) -> DataSet:
    """The same data; each user's last training request with feedback counts as validation.

    A log that has validation rows stays as it is, and so does a user with one such request: something must be left.
    """
    log = data.log
    if (log.split == Split.VALID).any():
        return data
    train_E = (log.split == Split.TRAIN) & (log.level > 0)
    user_E, session_E = log.user[train_E], log.session[train_E]
    last_U = np.full(len(log.users), -1, np.int64)
    np.maximum.at(last_U, user_E, session_E)
    first_U = np.full(len(log.users), np.iinfo(np.int64).max, np.int64)
    np.minimum.at(first_U, user_E, session_E)
    lent_E = train_E & (log.session == last_U[log.user]) & (first_U < last_U)[log.user]
    split_E = np.where(lent_E, np.int8(Split.VALID), log.split).astype(np.int8)
    return dataclasses.replace(data, log=dataclasses.replace(log, split=split_E))
