"""The packed layout: what goes in comes out, bytes lie where the page says, and damaged bytes are refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.candidate_set import Candidate
from contracts.errors import BadRequest
from contracts.ids import INT64_MAX, INT64_MIN, ItemId, UserId
from services.gateways.inference.packed import (
    AnswerColumns,
    PackedPrompt,
    pack_answer,
    pack_prompt,
    read_answer,
    read_columns,
    read_explanation,
    read_prompt,
)
from services.gateways.inference.port import EngineAnswer, EngineRequest, Explanation, LevelScores

WORD = st.integers(0, 2**32 - 1)
WIDTHS = st.none() | st.lists(WORD, min_size=1, max_size=8).map(tuple)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
PROMPTS = st.builds(
    EngineRequest,
    user_id=NAME.map(UserId),
    tokens=st.lists(WORD, max_size=20).map(tuple),
    beams=WIDTHS,
    lambdas=WIDTHS,
    exclude=st.lists(st.integers(INT64_MIN, INT64_MAX).map(ItemId), max_size=5).map(tuple),
    deadline_ms=st.none() | WORD,
    max_items=st.none() | WORD,
    lambda_scope=st.sampled_from([None, "prefix", "request"]),
    iap_mix=st.none() | st.floats(allow_nan=False),
    item_filter=st.none() | st.binary(max_size=20),
    catalog_version=st.none() | NAME,
)


@given(request=PROMPTS, level_scores=st.booleans())
def test_a_prompt_comes_out_as_it_went_in(request: EngineRequest, level_scores: bool) -> None:
    assert read_prompt(pack_prompt(request, level_scores=level_scores)) == PackedPrompt(request, level_scores)


@given(request=PROMPTS, cut=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_damaged_prompt_is_refused_or_read_but_never_breaks(request: EngineRequest, cut: int, byte: int) -> None:
    data = bytearray(pack_prompt(request, level_scores=True))
    at = cut % len(data)
    with pytest.raises(BadRequest):
        read_prompt(bytes(data[:at]))
    data[at] = byte
    with suppress(BadRequest):
        assert isinstance(read_prompt(bytes(data)), PackedPrompt)


def test_the_bytes_of_a_prompt_lie_where_the_page_says() -> None:
    request = EngineRequest(
        UserId("u1"),
        tokens=(7, 8, 9),
        beams=(5, 6),
        lambdas=(3,),
        exclude=(ItemId(-1),),
        deadline_ms=250,
        lambda_scope="request",
        iap_mix=0.5,
        item_filter=b"\x01\x80",
        catalog_version="c1",
    )
    header = b"RGRq" + bytes([1, 2, 2, 1]) + struct.pack("<6IdHHI", 1 + 4 + 8 + 16, 3, 1, 2, 250, 0, 0.5, 2, 2, 0)
    body = struct.pack("<q3I2II", -1, 7, 8, 9, 5, 6, 3) + b"\x01\x80" + b"u1" + b"c1"
    assert pack_prompt(request, level_scores=False) == header + body


@pytest.mark.parametrize(
    "change", [{"tokens": (-1,)}, {"tokens": (2**32,)}, {"deadline_ms": -5}, {"beams": (1,) * 300}]
)
def test_what_does_not_fit_the_layout_is_a_bad_request(change: dict[str, object]) -> None:
    asked = EngineRequest(**({"user_id": UserId("u"), "tokens": (1,)} | change))  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="does not fit the packed layout"):
        pack_prompt(asked, level_scores=True)


@pytest.mark.parametrize(
    ("at", "value", "reason"), [(4, 2, "packed format 2"), (5, 3, "lambda_scope"), (44, 1, "reserved")]
)
def test_another_format_is_refused_by_name(at: int, value: int, reason: str) -> None:
    data = bytearray(pack_prompt(EngineRequest(UserId("u"), (1,)), level_scores=True))
    data[at] = value
    with pytest.raises(BadRequest, match=reason):
        read_prompt(bytes(data))


def columns(code_bytes: int = 2, *, levels: bool = True) -> AnswerColumns:
    code = "H" if code_bytes == 2 else "I"
    return AnswerColumns(
        model_version="mö",
        catalog_version="c1",
        timings_ms={"queue": 0.5, "prefill": 12.0},
        counts={"reused_tokens": 64},
        levels=2,
        code_bytes=2 if code_bytes == 2 else 4,
        item_id=struct.pack("<3q", 5, -6, 2**63 - 1),
        score=struct.pack("<3f", -0.25, -0.5, -1.0),
        codes=struct.pack(f"<6{code}", 1, 2, 3, 4, 5, 6),
        iap_logprob=struct.pack("<6f", *range(6)) if levels else None,
        rsp_logscore=struct.pack("<6f", *range(6, 12)) if levels else None,
    )


@pytest.mark.parametrize("levels", [True, False])
@pytest.mark.parametrize("code_bytes", [2, 4])
def test_an_answer_comes_out_as_it_went_in(code_bytes: int, levels: bool) -> None:
    packed = pack_answer(columns(code_bytes, levels=levels))
    assert read_columns(packed) == columns(code_bytes, levels=levels)
    assert read_answer(packed) == EngineAnswer(
        "mö",
        "c1",
        (
            Candidate(ItemId(5), -0.25, (1, 2)),
            Candidate(ItemId(-6), -0.5, (3, 4)),
            Candidate(ItemId(2**63 - 1), -1.0, (5, 6)),
        ),
        {"queue": 0.5, "prefill": 12.0},
        {"reused_tokens": 64},
    )


def test_the_bytes_of_an_answer_lie_where_the_page_says() -> None:
    names = b"queue,prefill,reused_tokens"
    header = b"RGRa" + bytes([1, 2, 2, 1]) + struct.pack("<I6H", 3, 2, 1, len(names), 3, 2, 0)
    body = (
        struct.pack("<3q3f2fI", 5, -6, 2**63 - 1, -0.25, -0.5, -1.0, 0.5, 12.0, 64)
        + struct.pack("<12f6H", *range(12), 1, 2, 3, 4, 5, 6)
        + names
        + "mö".encode()
        + b"c1"
    )
    assert pack_answer(columns()) == header + body


def test_an_empty_answer_is_one() -> None:
    empty = AnswerColumns("m", "c", {}, {}, 2, 2, b"", b"", b"")
    assert read_answer(pack_answer(empty)) == EngineAnswer("m", "c", ())


@given(cut=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_damaged_answer_is_a_value_error_or_an_answer(cut: int, byte: int) -> None:
    data = bytearray(pack_answer(columns()))
    at = cut % len(data)
    with pytest.raises(ValueError, match="packed answer"):
        read_answer(bytes(data[:at]))
    data[at] = byte
    with suppress(ValueError):
        assert isinstance(read_answer(bytes(data)), EngineAnswer)


def test_an_explanation_is_the_answer_with_what_each_level_thought() -> None:
    nan = float("nan")
    columns = AnswerColumns(
        model_version="m",
        catalog_version="c",
        timings_ms={},
        counts={},
        levels=2,
        code_bytes=2,
        item_id=struct.pack("<2q", 7, 8),
        score=struct.pack("<2f", -0.5, -1.5),
        codes=struct.pack("<4H", 1, 2, 3, 4),
        iap_logprob=struct.pack("<4f", -1, -2, -3, -4),
        rsp_logscore=struct.pack("<4f", -0.5, nan, -0.25, nan),
    )
    items = (Candidate(ItemId(7), -0.5, (1, 2)), Candidate(ItemId(8), -1.5, (3, 4)))
    assert read_explanation(pack_answer(columns)) == Explanation(
        EngineAnswer("m", "c", items),
        (
            (LevelScores(-1, -0.5), LevelScores(-2, None)),
            (LevelScores(-3, -0.25), LevelScores(-4, None)),
        ),
    )
    with pytest.raises(ValueError, match="without level scores"):
        read_explanation(pack_answer(replace(columns, iap_logprob=None, rsp_logscore=None)))
