"""What travels between the host and vLLM's worker comes out as it went in."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadRequest, EngineFailed, PromptTooLong, RankGRError, UnknownToken
from model.decoding.request import DecodeRequest, DecodeResult
from model.semantic_id.item_filter import ItemFilter
from services.engine.vllm_plugin.packed_answer import pack, request_of, unpack, wishes_of


@pytest.mark.parametrize("items", [0, 3])
def test_a_result(items: int) -> None:
    sent = DecodeResult(
        item_id=np.arange(items) + 2**40,
        score=np.linspace(-1, 0, items, dtype=np.float32),
        codes=np.arange(2 * items, dtype=np.int32).reshape(items, 2),
        iap_logprob=np.full((items, 2), np.nan, np.float32),
        rsp_logscore=np.full((items, 2), -0.25, np.float32),
        timings_ms={"prefill": 1.5},
        counts={"beams1": 7},
    )
    packed = pack(sent)
    assert str(packed.dtype) == "torch.uint8"
    got = unpack(packed)
    assert isinstance(got, DecodeResult)
    for name in ("item_id", "score", "codes", "iap_logprob", "rsp_logscore"):
        one, other = getattr(got, name), getattr(sent, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert (got.timings_ms, got.counts) == (sent.timings_ms, sent.counts)


@pytest.mark.parametrize(
    "error",
    [BadRequest("beams: no"), PromptTooLong(9, 5), UnknownToken(7, 5), EngineFailed("not finite")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_with_its_sentence(error: RankGRError) -> None:
    got = unpack(pack(error))
    assert isinstance(got, RankGRError)
    assert (type(got), str(got)) == (type(error), str(error))


@pytest.mark.vllm
@pytest.mark.parametrize(
    "request_",
    [
        DecodeRequest(np.array([3, 4])),
        DecodeRequest(
            np.array([3]),
            beams=(5, 6),
            lambdas=(7, 8),
            exclude=frozenset({2**62, -1}),
            max_items=9,
            lambda_scope="request",
            iap_mix=0.5,
            item_filter=ItemFilter(b"\x01\xff"),
        ),
    ],
    ids=["defaults", "everything"],
)
def test_wishes_survive_a_message(request_: DecodeRequest) -> None:
    # vLLM's own way of writing messages, and installed with it.
    import msgspec

    carried = msgspec.msgpack.decode(msgspec.msgpack.encode(wishes_of(request_)))
    got = request_of(request_.tokens, carried)
    for name in ("beams", "lambdas", "exclude", "max_items", "lambda_scope", "iap_mix", "item_filter"):
        assert getattr(got, name) == getattr(request_, name), name
