"""A request's wishes on their way into vLLM's worker, and its answer on the way back: one byte tensor.

A pooling request answers with one tensor, so all that is known of a request, an error included, goes into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contracts.errors import BadRequest, EngineFailed, PromptTooLong, RankGRError, UnknownToken
from model.decoding.request import DecodeRequest, DecodeResult
from model.semantic_id.catalog import Int64s
from model.semantic_id.item_filter import ItemFilter

# Shapes: K items, M levels.

_ERRORS: dict[str, type[RankGRError]] = {
    kind.__name__: kind for kind in (BadRequest, PromptTooLong, UnknownToken, EngineFailed)
}
_ARRAYS = (("item_id", "<i8"), ("score", "<f4"), ("codes", "<i4"), ("iap_logprob", "<f4"), ("rsp_logscore", "<f4"))
_LENGTH_BYTES = 4


def wishes_of(request: DecodeRequest) -> dict[str, Any]:
    """All of a request but its tokens, in types that vLLM's messages carry."""
    return {
        "beams": None if request.beams is None else list(request.beams),
        "lambdas": None if request.lambdas is None else list(request.lambdas),
        "exclude": sorted(request.exclude),
        "max_items": request.max_items,
        "lambda_scope": request.lambda_scope,
        "iap_mix": request.iap_mix,
        "filter": None if request.item_filter is None else request.item_filter.bitmap,
    }


def request_of(tokens: Int64s, wishes: Mapping[str, Any]) -> DecodeRequest:
    """The request again."""
    beams, lambdas, bitmap = wishes.get("beams"), wishes.get("lambdas"), wishes.get("filter")
    return DecodeRequest(
        tokens=tokens,
        beams=None if beams is None else tuple(beams),
        lambdas=None if lambdas is None else tuple(lambdas),
        exclude=frozenset(wishes.get("exclude") or ()),
        max_items=wishes.get("max_items"),
        lambda_scope=wishes.get("lambda_scope"),
        iap_mix=wishes.get("iap_mix"),
        item_filter=None if bitmap is None else ItemFilter(bytes(bitmap)),
    )


def pack(answer: DecodeResult | RankGRError) -> Tensor:
    """uint8 [n] on the CPU: a JSON head, its length before it, then the arrays of a result."""
    if isinstance(answer, RankGRError):
        return _joined({"error": type(answer).__name__, "detail": str(answer)}, [])
    arrays = [np.ascontiguousarray(getattr(answer, name), dtype=kind) for name, kind in _ARRAYS]
    head = {
        "items": len(answer.item_id),
        "levels": answer.codes.shape[1],
        "timings_ms": answer.timings_ms,
        "counts": answer.counts,
    }
    return _joined(head, [array.tobytes() for array in arrays])


def unpack(packed: Tensor) -> DecodeResult | RankGRError:
    """What was packed; ValueError for bytes that are no answer."""
    content = memoryview(packed.numpy().tobytes())
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    head = json.loads(bytes(content[_LENGTH_BYTES:start]))
    if "error" in head:
        return _error(head["error"], head["detail"])
    items, levels = head["items"], head["levels"]
    arrays: dict[str, Any] = {}
    for name, kind in _ARRAYS:
        shape = (items,) if name in ("item_id", "score") else (items, levels)
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(content, kind, count, start).reshape(shape).copy()
        start += arrays[name].nbytes
    return DecodeResult(**arrays, timings_ms=head["timings_ms"], counts=head["counts"])


def _joined(head: Mapping[str, Any], parts: list[bytes]) -> Tensor:
    text = json.dumps(head).encode()
    return torch.frombuffer(
        bytearray(b"".join((len(text).to_bytes(_LENGTH_BYTES, "little"), text, *parts))), dtype=torch.uint8
    )


def _error(name: str, detail: str) -> RankGRError:
    """The error with its own sentence: some kinds build theirs from numbers, which did not travel."""
    kind = _ERRORS.get(name, EngineFailed)
    error = kind.__new__(kind, detail)
    Exception.__init__(error, detail)
    return error
