"""Names of a user's keys in Redis: any user id, and all of a user's keys on one shard of a cluster.

The Redis adapters call it; nothing else knows these names.
"""

from __future__ import annotations

from contracts.ids import UserId

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


def user_key(kind: str, user: UserId, part: str = "") -> str:
    """`rankgr:KIND:{USER}PART`; the braces are a cluster's hash tag, so a user's own are escaped."""
    # Hardly any id needs it, and looking is quicker than translating.
    if "%" in user or "{" in user or "}" in user:
        return f"rankgr:{kind}:{{{user.translate(_ESCAPES)}}}{part}"
    return f"rankgr:{kind}:{{{user}}}{part}"
