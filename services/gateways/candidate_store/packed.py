"""A candidate set as bytes: a header, then records of one size, so that a page of it is one contiguous range.

Both stores keep sets in this form: what one rounds (scores are float32), the other rounds too.

    offset  size  header, little endian
         0     4  magic "RGRc"
         4     1  format version, 1
         5     1  m, codes per item
         6     1  bytes per code, 2 or 4
         7     1  0
         8     2  header size, a multiple of 64; the records begin there
        10     2  record size
        12     4  number of records
        16     8  triggered_at, Unix ms
        24     8  generated_at, Unix ms
        32     6  lengths of request_id, model_version, catalog_version in UTF-8, two bytes each
        38        the three texts, then zeros
    record: item_id int64, score float32, m codes of uint16 (of uint32 where one needs it)
"""

from __future__ import annotations

from struct import Struct

import msgspec

from contracts.candidate_set import CandidateSet
from contracts.ids import RequestId
from services.gateways.candidate_store.port import ListHead, ListPage
from services.gateways.candidate_store.records import Records, record_of

MAGIC = b"RGRc"
FORMAT = 1
_HEADER = Struct("<4sBBBxHHIqqHHH")
_HEADER_STEP = 64
# item_id and score.
_FIXED_RECORD = 12
# Room for a UUID and two versions of 64 characters: such headers all have one size, which a reader can guess.
_USUAL_HEADER = 256


class Layout(msgspec.Struct, frozen=True, gc=False):
    """Where the records lie: what a reader must know to ask for a page."""

    header_size: int = _USUAL_HEADER
    record_size: int = 16

    def range_of(self, offset: int, limit: int) -> tuple[int, int]:
        """First and last byte of these records; empty (last < first) where `limit` is 0."""
        first = self.header_size + offset * self.record_size
        return first, first + limit * self.record_size - 1


class Header(msgspec.Struct, frozen=True, gc=False):
    """A packed set's head and layout."""

    head: ListHead
    layout: Layout
    levels: int
    code_size: int


def pack(candidates: CandidateSet) -> bytes:
    """The whole set.  ValueError where items differ in their number of codes."""
    levels = len(candidates.items[0].sid) if candidates.items else 0
    if any(len(item.sid) != levels for item in candidates.items):
        raise ValueError("items of one candidate set must have equally many codes")
    widest = max((max(item.sid, default=0) for item in candidates.items), default=0)
    code_size = 2 if widest < 2**16 else 4
    record = record_of(levels, code_size)
    texts = [text.encode() for text in (candidates.request_id, candidates.model_version, candidates.catalog_version)]
    size = max(_USUAL_HEADER, _HEADER.size + sum(map(len, texts)))
    size += -size % _HEADER_STEP
    fixed = _HEADER.pack(
        MAGIC,
        FORMAT,
        levels,
        code_size,
        size,
        record.size,
        len(candidates.items),
        candidates.triggered_at,
        candidates.generated_at,
        *map(len, texts),
    )
    header = (fixed + b"".join(texts)).ljust(size, b"\0")
    return header + b"".join(record.pack(item.item_id, item.score, *item.sid) for item in candidates.items)


def read_header(data: bytes) -> Header | None:
    """The header at the beginning of `data`; None where these bytes are no set, or end inside its header.

    The store is a cache: a value that was damaged, or that somebody else wrote, is no list, and never an error.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        return None
    _, version, levels, code_size, size, record_size, length, triggered_at, generated_at, one, two, three = (
        _HEADER.unpack_from(data)
    )
    two += one
    three += two
    texts = data[_HEADER.size : _HEADER.size + three]
    if version != FORMAT or len(texts) < three or code_size not in (2, 4):
        return None
    if record_size != _FIXED_RECORD + levels * code_size or size < _HEADER.size + three:
        return None
    try:
        request, model, catalog = texts[:one].decode(), texts[one:two].decode(), texts[two:].decode()
    except UnicodeDecodeError:
        return None
    head = ListHead(RequestId(request), triggered_at, generated_at, model, catalog, length)
    return Header(head, Layout(size, record_size), levels, code_size)


def read_records(data: bytes, header: Header) -> Records:
    """The items of a run of records; what follows the last whole one is left out."""
    torn = len(data) % header.layout.record_size
    return Records(data[: len(data) - torn] if torn else data, header.levels, header.code_size)


def read_page(data: bytes, offset: int, limit: int) -> ListPage | None:
    """A page cut out of a whole packed set; None where these bytes are no set."""
    header = read_header(data)
    if header is None:
        return None
    first, last = header.layout.range_of(offset, limit)
    return ListPage(header.head, offset, read_records(data[first : last + 1], header))
