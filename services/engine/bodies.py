"""What the engine takes and answers over HTTP, as JSON and packed.  Used by `api`; docs/http.md shows it to people."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contracts.errors import BadRequest
from contracts.ids import ItemIdField, UserIdField
from model.decoding.request import DecodeResult
from model.semantic_id.catalog import Float32s
from services.engine.recommendation import Recommendation
from services.gateways.inference.packed import AnswerColumns, pack_answer, read_prompt
from services.gateways.inference.port import EngineRequest, LambdaScope
from services.runtime.http_errors import field_path

# Far above every model's context: what is longer is refused before it becomes an array.
MAX_TOKENS = 65_536
MAX_EXCLUDED = 10_000
MAX_LEVELS = 8
MAX_ASKED_ITEMS = 100_000
LONGEST_DEADLINE_MS = 600_000
LONGEST_VERSION = 64


def _bitmap(given: object) -> object:
    """Base64 in JSON, the bytes themselves in the packed layout."""
    if not isinstance(given, str):
        return given
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64") from None


Token = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Width = Annotated[int, Field(strict=True, ge=1, lt=2**31)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=MAX_LEVELS)]
Bitmap = Annotated[
    bytes, BeforeValidator(_bitmap, json_schema_input_type=str), Field(json_schema_extra={"format": "byte"})
]


class RecommendBody(BaseModel):
    """One user's prompt.  Widths are per level; null: the bundle's.  `deadline_ms` counts from arrival.

    `filter`: a bit per catalogue row, 1 for items to leave out; it needs `catalog_version`.
    `level_scores`: whether the answer holds each level's scores.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: UserIdField
    tokens: tuple[Token, ...] = Field(min_length=1, max_length=MAX_TOKENS)
    beams: Widths | None = None
    lambdas: Widths | None = None
    exclude: tuple[ItemIdField, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    deadline_ms: int | None = Field(default=None, strict=True, ge=1, le=LONGEST_DEADLINE_MS)
    max_items: int | None = Field(default=None, strict=True, ge=1, le=MAX_ASKED_ITEMS)
    lambda_scope: LambdaScope | None = None
    iap_mix: float | None = Field(default=None, allow_inf_nan=False)
    filter: Bitmap | None = None
    catalog_version: str | None = Field(default=None, min_length=1, max_length=LONGEST_VERSION)
    level_scores: bool = Field(default=True, strict=True)

    @classmethod
    def of_json(cls, data: bytes) -> RecommendBody:
        """Raises BadRequest that begins with the field's name."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _refusal(error) from error

    @classmethod
    def of_packed(cls, data: bytes) -> RecommendBody:
        """The same of packed bytes.  Raises BadRequest that begins with the field's name."""
        packed = read_prompt(data)
        asked = packed.request
        try:
            return cls(
                user_id=asked.user_id,
                tokens=asked.tokens,
                beams=asked.beams,
                lambdas=asked.lambdas,
                exclude=asked.exclude,
                deadline_ms=asked.deadline_ms,
                max_items=asked.max_items,
                lambda_scope=asked.lambda_scope,
                iap_mix=asked.iap_mix,
                filter=asked.item_filter,
                catalog_version=asked.catalog_version,
                level_scores=packed.level_scores,
            )
        except ValidationError as error:
            raise _refusal(error) from error

    def asked(self) -> EngineRequest:
        """The same for the use case."""
        return EngineRequest(
            user_id=self.user_id,
            tokens=self.tokens,
            beams=self.beams,
            lambdas=self.lambdas,
            exclude=self.exclude,
            deadline_ms=self.deadline_ms,
            max_items=self.max_items,
            lambda_scope=self.lambda_scope,
            iap_mix=self.iap_mix,
            item_filter=self.filter,
            catalog_version=self.catalog_version,
        )


class LevelScores(BaseModel):
    """What one level thought of the item's code: log p of IAP, log s of RSP; null: not known apart."""

    iap_logprob: float | None
    rsp_logscore: float | None


class RecommendedItem(BaseModel):
    """An item, its score (sum of the levels'), its codes, coarse to fine, and, if wanted, the levels themselves."""

    item_id: int
    score: float
    sid: list[int]
    levels: list[LevelScores] | None = None


class RecommendAnswer(BaseModel):
    """Items best first, from one model and one catalogue.  For OpenAPI."""

    model_version: str
    catalog_version: str
    items: list[RecommendedItem]
    timings_ms: dict[str, float]
    counts: dict[str, int]


def json_of(found: Recommendation, *, level_scores: bool) -> bytes:
    """The answer as JSON of the shape of `RecommendAnswer`."""
    head = {"model_version": found.model_version, "catalog_version": found.catalog_version}
    tail = {
        "timings_ms": {stage: round(took_ms, 3) for stage, took_ms in found.timings_ms.items()},
        "counts": found.counts,
    }
    items = ",".join(_json_items(found.result, level_scores=level_scores))
    return f'{_compact(head)[:-1]},"items":[{items}],{_compact(tail)[1:]}'.encode()


def _json_items(result: DecodeResult, *, level_scores: bool) -> Iterator[str]:
    """An object per item, by one template: building and dumping 1400 dictionaries takes several times as long.

    Nine digits are a float32 exactly.
    """
    levels = result.codes.shape[1]
    columns: list[Sequence[int | float | str]] = [
        result.item_id.tolist(),
        result.score.tolist(),
        *result.codes.T.tolist(),
    ]
    template = f'{{"item_id":%d,"score":%.9g,"sid":[{",".join(["%d"] * levels)}]'
    if level_scores:
        iap_form, iap_columns = _form_of(result.iap_logprob)
        rsp_form, rsp_columns = _form_of(result.rsp_logscore)
        level = f'{{"iap_logprob":{iap_form},"rsp_logscore":{rsp_form}}}'
        template += f',"levels":[{",".join([level] * levels)}]'
        for iap, rsp in zip(iap_columns, rsp_columns, strict=True):
            columns += [iap, rsp]
    template += "}"
    return (template % row for row in zip(*columns, strict=True))


def _form_of(score_KM: Float32s) -> tuple[str, Sequence[Sequence[float | str]]]:
    """How a level's numbers are written, and they themselves by level; what is not known becomes null."""
    if not np.isnan(score_KM).any():
        return "%.9g", score_KM.T.tolist()
    return "%s", [["null" if np.isnan(score) else f"{score:.9g}" for score in column] for column in score_KM.T]


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def packed_of(found: Recommendation, *, level_scores: bool) -> bytes:
    """The answer in the packed layout."""
    result = found.result
    narrow = not result.codes.size or int(result.codes.max()) < 2**16
    return pack_answer(
        AnswerColumns(
            model_version=found.model_version,
            catalog_version=found.catalog_version,
            timings_ms=found.timings_ms,
            counts=found.counts,
            levels=result.codes.shape[1],
            code_bytes=2 if narrow else 4,
            item_id=result.item_id.astype("<i8").tobytes(),
            score=result.score.astype("<f4").tobytes(),
            codes=result.codes.astype("<u2" if narrow else "<u4").tobytes(),
            iap_logprob=result.iap_logprob.astype("<f4").tobytes() if level_scores else None,
            rsp_logscore=result.rsp_logscore.astype("<f4").tobytes() if level_scores else None,
        )
    )


def _refusal(error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    return BadRequest(f"{field_path(first['loc'])}: {first['msg'].removeprefix('Value error, ')}")
