"""The split of a log that brings none: each user's last request with a click is the test.

Used where a log is assembled; never splits a request in two.
"""

# Shapes: E events, R requests, U users.

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from model.data.arrays import Int8, Int32, Int64
from model.data.log import Split


def leave_one_out(user_E: Int32, level_E: Int8, session_E: Int64) -> Int8:
    """Split by request, Int8 [E] of `Split`; events sorted by user, requests numbered by first event.

    Of a user's requests that hold a click or more, the last and what follows it is TEST; the one before,
    and what lies between, is VALID; the rest is TRAIN.  With two such requests there is no VALID, with one
    no TEST: something must be left to learn from.
    """
    requests = int(session_E.max(initial=-1)) + 1
    user_R = np.zeros(requests, np.int64)
    user_R[session_E] = user_E
    clicked_R = np.zeros(requests, np.bool_)
    clicked_R[session_E[level_E >= Level.CLICK]] = True

    users = int(user_R.max(initial=-1)) + 1
    clicked_U = np.bincount(user_R, weights=clicked_R, minlength=users).astype(np.int64)
    seen_R = np.cumsum(clicked_R)
    before_U = np.cumsum(clicked_U) - clicked_U
    # How many clicked requests the user has had up to and including this one; requests are sorted by user.
    upto_R = seen_R - before_U[user_R]
    of_R = clicked_U[user_R]

    split_R = np.full(requests, Split.TRAIN, np.int8)
    split_R[(of_R >= 3) & (upto_R == of_R - 1)] = Split.VALID
    split_R[(of_R >= 2) & (upto_R == of_R)] = Split.TEST
    split_E: Int8 = split_R[session_E]
    return split_E
