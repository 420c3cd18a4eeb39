"""Which events belong to the same request (page view).

Used where a log is assembled; never looks at what the events are.
"""

from __future__ import annotations

import numpy as np

from model.data.arrays import Int64


def number_groups(*keys_E: Int64) -> Int64:
    """Number the rows that agree in every key: Int64 [E], groups counted from 0 by their first row."""
    order_E = np.lexsort(keys_E[::-1])
    starts_E = np.zeros(len(order_E), np.bool_)
    starts_E[:1] = True
    for key_E in keys_E:
        starts_E[1:] |= key_E[order_E][1:] != key_E[order_E][:-1]
    # lexsort is stable: the first row of each sorted run is the group's first row.
    first_G = order_E[starts_E]
    number_G = np.empty(len(first_G), np.int64)
    number_G[np.argsort(first_G)] = np.arange(len(first_G))
    group_E = np.empty(len(order_E), np.int64)
    group_E[order_E] = number_G[np.cumsum(starts_E) - 1]
    return group_E
