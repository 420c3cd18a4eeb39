"""A request to the engine and its answer as bytes: what `over_http` and the engine's api speak beside JSON.

All numbers are little endian; every array lies at a multiple of its number's size, so that it can be read in place.

Request, `application/vnd.rankgr.prompt`

    offset  size  header
         0     4  magic "RGRq"
         4     1  format version, 1
         5     1  lambda scope: 0 the bundle's, 1 per prefix, 2 per request
         6     1  number of beam widths, 0: the bundle's
         7     1  number of lambdas, 0: the bundle's
         8     4  flags: 1 deadline_ms, 2 max_items, 4 iap_mix, 8 filter are given; 16 no level scores wanted
        12     4  L, number of tokens
        16     4  E, number of excluded items
        20     4  F, bytes of the filter
        24     4  deadline_ms
        28     4  max_items
        32     8  iap_mix, float64
        40     2  bytes of user_id (UTF-8)
        42     2  bytes of catalog_version (UTF-8), 0: none
        44     4  0
        48        E int64 excluded items, L uint32 tokens, uint32 beam widths, uint32 lambdas,
                  F bytes of the filter, user_id, catalog_version

Answer, `application/vnd.rankgr.recommendation`

    offset  size  header
         0     4  magic "RGRa"
         4     1  format version, 1
         5     1  m, codes per item
         6     1  bytes per code, 2 or 4
         7     1  flags: 1 level scores are there
         8     4  K, number of items, best first
        12     2  T, number of timings
        14     2  C, number of counts
        16     2  bytes of the names of timings and counts (UTF-8, joined by commas, timings first)
        18     2  bytes of model_version (UTF-8)
        20     2  bytes of catalog_version (UTF-8)
        22     2  0
        24        K int64 item ids, K float32 scores, T float32 timings in ms, C uint32 counts,
                  with level scores K x m float32 log p (IAP) and K x m float32 log s (RSP),
                  K x m codes, the names, model_version, catalog_version
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from struct import Struct, error, unpack_from
from typing import Literal, TypeVar

from contracts.candidate_set import Candidate
from contracts.errors import BadRequest
from contracts.ids import ItemId, UserId
from services.gateways.inference.port import EngineAnswer, EngineRequest, Explanation, LambdaScope, LevelScores

PROMPT_TYPE = "application/vnd.rankgr.prompt"
RECOMMENDATION_TYPE = "application/vnd.rankgr.recommendation"
FORMAT = 1

_REQUEST = Struct("<4sBBBBIIIIIIdHHI")
_REQUEST_MAGIC = b"RGRq"
_SCOPES: tuple[LambdaScope | None, ...] = (None, "prefix", "request")
_DEADLINE, _MAX_ITEMS, _IAP_MIX, _FILTER, _NO_LEVELS = 1, 2, 4, 8, 16

_ANSWER = Struct("<4sBBBBIHHHHHH")
_ANSWER_MAGIC = b"RGRa"
_LEVELS = 1

Bytes = bytes | memoryview
Data = TypeVar("Data", bytes, memoryview)


@dataclass(frozen=True, slots=True)
class PackedPrompt:
    """A request, and whether its answer shall hold the levels' scores."""

    request: EngineRequest
    level_scores: bool


def pack_prompt(request: EngineRequest, *, level_scores: bool) -> bytes:
    """The request's bytes.  Raises BadRequest for numbers that do not fit the layout."""
    flags = 0 if level_scores else _NO_LEVELS
    given = (request.deadline_ms, request.max_items, request.iap_mix, request.item_filter)
    for flag, value in zip((_DEADLINE, _MAX_ITEMS, _IAP_MIX, _FILTER), given, strict=True):
        flags |= 0 if value is None else flag
    beams, lambdas = request.beams or (), request.lambdas or ()
    item_filter = request.item_filter or b""
    user, catalog = request.user_id.encode(), (request.catalog_version or "").encode()
    try:
        header = _REQUEST.pack(
            _REQUEST_MAGIC,
            FORMAT,
            _SCOPES.index(request.lambda_scope),
            len(beams),
            len(lambdas),
            flags,
            len(request.tokens),
            len(request.exclude),
            len(item_filter),
            request.deadline_ms or 0,
            request.max_items or 0,
            request.iap_mix or 0.0,
            len(user),
            len(catalog),
            0,
        )
        numbers = _numbers(len(request.exclude), len(request.tokens), len(beams), len(lambdas))
        packed = numbers.pack(*request.exclude, *request.tokens, *beams, *lambdas)
    except error as reason:
        raise BadRequest(f"body: a number does not fit the packed layout: {reason}") from reason
    return b"".join((header, packed, item_filter, user, catalog))


def read_prompt(data: bytes) -> PackedPrompt:
    """What `pack_prompt` packed.  Values are not checked; raises BadRequest for bytes of another layout."""
    if len(data) < _REQUEST.size or not data.startswith(_REQUEST_MAGIC):
        raise BadRequest(f"body: is no packed prompt of {PROMPT_TYPE}")
    _, version, scope, beams, lambdas, flags, tokens, excluded, filtered, *rest = _REQUEST.unpack_from(data)
    deadline_ms, max_items, iap_mix, user, catalog, reserved = rest
    if version != FORMAT:
        raise BadRequest(f"body: packed format {version} is not known here, {FORMAT} is")
    if scope >= len(_SCOPES):
        raise BadRequest(f"lambda_scope: must be 0, 1 or 2 in the packed layout, is {scope}")
    if reserved:
        raise BadRequest("body: the header's reserved bytes must be 0")
    numbers = _numbers(excluded, tokens, beams, lambdas)
    needed = _REQUEST.size + numbers.size + filtered + user + catalog
    if len(data) != needed:
        raise BadRequest(f"body: its header tells of {needed} bytes, it has {len(data)}")
    parts = _cut(numbers.unpack_from(data, _REQUEST.size), (excluded, tokens, beams, lambdas))
    bitmap, name, version_text = _slices(data, _REQUEST.size + numbers.size, (filtered, user, catalog))
    request = EngineRequest(
        user_id=UserId(_text("user_id", name)),
        tokens=parts[1],
        beams=parts[2] or None,
        lambdas=parts[3] or None,
        exclude=tuple(map(ItemId, parts[0])),
        deadline_ms=deadline_ms if flags & _DEADLINE else None,
        max_items=max_items if flags & _MAX_ITEMS else None,
        lambda_scope=_SCOPES[scope],
        iap_mix=iap_mix if flags & _IAP_MIX else None,
        item_filter=bitmap if flags & _FILTER else None,
        catalog_version=_text("catalog_version", version_text) or None,
    )
    return PackedPrompt(request, not flags & _NO_LEVELS)


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """An answer as arrays of little-endian numbers: K items of m codes each.

    item_id int64 [K], score float32 [K], codes uint16 or uint32 [K, m] by `code_bytes`,
    iap_logprob and rsp_logscore float32 [K, m], both or neither.
    """

    model_version: str
    catalog_version: str
    timings_ms: dict[str, float]
    counts: dict[str, int]
    levels: int
    code_bytes: Literal[2, 4]
    item_id: Bytes
    score: Bytes
    codes: Bytes
    iap_logprob: Bytes | None = None
    rsp_logscore: Bytes | None = None

    def __len__(self) -> int:
        return len(self.item_id) // 8


def pack_answer(columns: AnswerColumns) -> bytes:
    """The answer's bytes."""
    names = ",".join((*columns.timings_ms, *columns.counts)).encode()
    versions = columns.model_version.encode(), columns.catalog_version.encode()
    levels: tuple[Bytes, ...] = ()
    if columns.iap_logprob is not None and columns.rsp_logscore is not None:
        levels = columns.iap_logprob, columns.rsp_logscore
    header = _ANSWER.pack(
        _ANSWER_MAGIC,
        FORMAT,
        columns.levels,
        columns.code_bytes,
        _LEVELS if levels else 0,
        len(columns),
        len(columns.timings_ms),
        len(columns.counts),
        len(names),
        *map(len, versions),
        0,
    )
    told = Struct(f"<{len(columns.timings_ms)}f{len(columns.counts)}I").pack(
        *columns.timings_ms.values(), *columns.counts.values()
    )
    return b"".join((header, columns.item_id, columns.score, told, *levels, columns.codes, names, *versions))


def read_columns(data: bytes) -> AnswerColumns:
    """What `pack_answer` packed; the arrays are views of `data`.  ValueError for bytes of another layout."""
    if len(data) < _ANSWER.size or not data.startswith(_ANSWER_MAGIC):
        raise ValueError("no packed answer")
    _, version, levels, code_bytes, flags, items, stages, counted, *texts, _ = _ANSWER.unpack_from(data)
    if version != FORMAT or code_bytes not in (2, 4) or not levels:
        raise ValueError(f"packed answer of format {version} with {levels} codes of {code_bytes} bytes")
    each = items * levels
    scores = (4 * each, 4 * each) if flags & _LEVELS else (0, 0)
    sizes = (8 * items, 4 * items, 4 * (stages + counted), *scores, code_bytes * each, *texts)
    if len(data) != _ANSWER.size + sum(sizes):
        raise ValueError(f"packed answer of {len(data)} bytes instead of {_ANSWER.size + sum(sizes)}")
    item_id, score, told, iap, rsp, codes, *named = _slices(memoryview(data), _ANSWER.size, sizes)
    names, model_version, catalog_version = (str(text, "utf-8") for text in named)
    figures = dict(zip(names.split(",") if names else (), unpack_from(f"<{stages}f{counted}I", told), strict=True))
    return AnswerColumns(
        model_version=model_version,
        catalog_version=catalog_version,
        timings_ms=dict(list(figures.items())[:stages]),
        counts=dict(list(figures.items())[stages:]),
        levels=levels,
        code_bytes=2 if code_bytes == 2 else 4,
        item_id=item_id,
        score=score,
        codes=codes,
        iap_logprob=iap if flags & _LEVELS else None,
        rsp_logscore=rsp if flags & _LEVELS else None,
    )


def read_answer(data: bytes) -> EngineAnswer:
    """The answer without its level scores.  ValueError for bytes of another layout."""
    return _answer_in(read_columns(data))


def read_explanation(data: bytes) -> Explanation:
    """The answer with its level scores.  ValueError for bytes of another layout, or without these scores."""
    columns = read_columns(data)
    if columns.iap_logprob is None or columns.rsp_logscore is None:
        raise ValueError("packed answer without level scores")
    each = Struct(f"<{columns.levels}f")
    rows = zip(each.iter_unpack(columns.iap_logprob), each.iter_unpack(columns.rsp_logscore), strict=True)
    levels = tuple(tuple(LevelScores(_known(iap), _known(rsp)) for iap, rsp in zip(*row, strict=True)) for row in rows)
    return Explanation(_answer_in(columns), levels)


def _answer_in(columns: AnswerColumns) -> EngineAnswer:
    items = len(columns)
    item_ids = unpack_from(f"<{items}q", columns.item_id)
    scores = unpack_from(f"<{items}f", columns.score)
    codes = Struct(f"<{columns.levels}{'H' if columns.code_bytes == 2 else 'I'}").iter_unpack(columns.codes)
    candidates = tuple(map(Candidate, map(ItemId, item_ids), scores, codes))
    return EngineAnswer(columns.model_version, columns.catalog_version, candidates, columns.timings_ms, columns.counts)


def _known(score: float) -> float | None:
    """NaN is what a host writes that does not know a level apart."""
    return None if isnan(score) else score


def _numbers(excluded: int, tokens: int, beams: int, lambdas: int) -> Struct:
    return Struct(f"<{excluded}q{tokens + beams + lambdas}I")


def _cut(numbers: tuple[int, ...], lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Consecutive runs of these lengths."""
    runs, at = [], 0
    for length in lengths:
        runs.append(numbers[at : at + length])
        at += length
    return runs


def _slices(data: Data, at: int, sizes: Sequence[int]) -> list[Data]:
    """Consecutive parts of these sizes, the first one at `at`."""
    parts = []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts


def _text(field: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as reason:
        raise BadRequest(f"{field}: is no UTF-8") from reason
