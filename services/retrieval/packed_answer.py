"""The body of a retrieve answer in packed form: a header, then the items as they lie in the store.

Used by `api`, for callers that read whole lists: nothing is parsed on the way.  docs/http.md has the same layout.

    offset  size  little endian
         0     4  magic "RGRa"
         4     1  format, 1
         5     1  outcome: 0 fresh, 1 stale, 2 fallback
         6     1  m, codes per item; 0 in a fallback
         7     1  bytes per code, 2 or 4; 0 in a fallback
         8     2  header size, a multiple of 8; the records begin there
        10     2  record size
        12     4  number of records
        16     8  generated_at, Unix ms; -1 in a fallback
        24     8  age_ms; -1 in a fallback
        32    10  lengths in bytes of user_id, request_id, model_version, catalog_version, next_cursor; 0: null
        42        the five texts in UTF-8, then zeros
    record: item_id int64, score float32, m codes of uint16 or uint32; in a fallback item_id alone
"""

from __future__ import annotations

from struct import Struct, pack

from contracts.ids import UserId
from services.retrieval.serve_candidates import Fallback, Fresh, Outcome

MAGIC = b"RGRa"
FORMAT = 1
STEP = 8

_HEADER = Struct("<4sBBBBHHIqqHHHHH")
_FRESH, _STALE, _FALLBACK = range(3)


def packed_of(user: UserId, outcome: Outcome) -> bytes:
    """The outcome's bytes."""
    cursor = outcome.next_cursor or ""
    if isinstance(outcome, Fallback):
        items = outcome.items
        texts = [text.encode() for text in (user, "", "", "", cursor)]
        fixed = (_FALLBACK, 0, 0, _padded(texts), 8, len(items), -1, -1)
        return _join(fixed, texts, pack(f"<{len(items)}q", *items))
    head, records = outcome.head, outcome.records
    name = _FRESH if isinstance(outcome, Fresh) else _STALE
    texts = [text.encode() for text in (user, head.request_id, head.model_version, head.catalog_version, cursor)]
    fixed = (
        name,
        records.levels,
        records.code_size,
        _padded(texts),
        records.size,
        len(records),
        head.generated_at,
        outcome.age_ms,
    )
    return _join(fixed, texts, records.data)


def _padded(texts: list[bytes]) -> int:
    """The header's size."""
    size = _HEADER.size + sum(map(len, texts))
    return size + -size % STEP


def _join(fixed: tuple[int, ...], texts: list[bytes], records: bytes) -> bytes:
    header = _HEADER.pack(MAGIC, FORMAT, *fixed, *map(len, texts)) + b"".join(texts)
    return header.ljust(fixed[3], b"\0") + records
