"""What a retrieve request says: the user in its path, the rest in its query string.

Used by `api`.  Every complaint is a RequestValidationError that names the field.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from contracts.candidate_set import MAX_ITEMS, MAX_WAIT_MS
from contracts.ids import MAX_SCENE_CHARACTERS, ItemId, ItemIdField, RequestId, RequestIdField, UserId, UserIdField
from services.retrieval.cursor import MAX_CURSOR_CHARACTERS
from services.retrieval.serve_candidates import PageAsked

DEFAULT_LIMIT = 50
MAX_FIELDS = 64
# Ten years: older than any list, and far from where a float loses whole seconds.
LONGEST_AGE_S = 315_360_000.0

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def _whole_number(text: object) -> object:
    """Digits only: what else Python reads as an int (`1_0`, ` 1`, `1.0`) is a slip here."""
    if isinstance(text, str):
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError("must be a whole number")
        return int(text)
    return text


def _wait(text: object) -> object:
    """Any number of milliseconds above the bound means the bound, however many digits it has."""
    if isinstance(text, str) and re.fullmatch(r"[0-9]{5,}", text, re.ASCII):
        return MAX_WAIT_MS if text.lstrip("0")[4:] else int(text)
    return _whole_number(text)


def _item_ids(text: object) -> object:
    if not isinstance(text, str):
        return text
    if not text:
        return ()
    return tuple(_whole_number(part) for part in text.split(","))


class RetrieveQuery(BaseModel):
    """The query string of `GET /retrieve/{user_id}`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    limit: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=MAX_ITEMS)] = DEFAULT_LIMIT
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] | None = None
    request_id: RequestIdField | None = None
    max_age_s: Annotated[float, Field(ge=0, le=LONGEST_AGE_S, allow_inf_nan=False)] | None = None
    wait_ms: Annotated[int, BeforeValidator(_wait), Field(ge=0)] = 0
    exclude: Annotated[tuple[ItemIdField, ...], BeforeValidator(_item_ids), Field(max_length=MAX_ITEMS)] = ()
    scene: Annotated[str, Field(max_length=MAX_SCENE_CHARACTERS)] | None = None

    def asked(self, user: UserId, default_max_age_s: float) -> PageAsked:
        """The same for the use case; waits are cut at five seconds."""
        return PageAsked(
            user_id=user,
            limit=self.limit,
            max_age_s=default_max_age_s if self.max_age_s is None else self.max_age_s,
            request_id=self.request_id,
            cursor=self.cursor,
            wait_s=min(self.wait_ms, MAX_WAIT_MS) / 1000,
            exclude=frozenset(ItemId(item) for item in self.exclude),
            scene=self.scene,
        )


# What nearly every caller sends: nothing percent-encoded, ids of plain characters, small numbers.
_PLAIN_USER = re.compile(rb"[A-Za-z0-9_.~:@-]{1,128}")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.~:-]{1,64}", re.ASCII)


def read_plain(segment: bytes, raw: bytes, default_max_age_s: float) -> PageAsked | None:
    """The same as `read_user_id` and `read_query` in a twentieth of the time; None for what is not plain.

    Takes no value that those would refuse, and reads it as they do (tested).
    """
    if not _PLAIN_USER.fullmatch(segment):
        return None
    limit, wait_ms, request_id, scene, cursor = DEFAULT_LIMIT, 0, None, None, None
    for field in raw.decode("latin-1").split("&") if raw else ():
        name, _, value = field.partition("=")
        if name == "limit" and _is_small(value) and 1 <= int(value) <= MAX_ITEMS:
            limit = int(value)
        elif name == "wait_ms" and _is_small(value):
            wait_ms = int(value)
        elif name == "request_id" and _PLAIN_TEXT.fullmatch(value):
            request_id = RequestId(value)
        elif name == "scene" and _PLAIN_TEXT.fullmatch(value):
            scene = value
        elif name == "cursor" and _PLAIN_TEXT.fullmatch(value):
            cursor = value
        else:
            return None
    return PageAsked(
        user_id=UserId(segment.decode()),
        limit=limit,
        max_age_s=default_max_age_s,
        request_id=request_id,
        cursor=cursor,
        wait_s=min(wait_ms, MAX_WAIT_MS) / 1000,
        scene=scene,
    )


def _is_small(text: str) -> bool:
    """At most four digits; of Latin-1, only 0 to 9 are decimal."""
    return len(text) <= 4 and text.isdecimal()


_USER_ID: TypeAdapter[UserId] = TypeAdapter(UserIdField)


def read_user_id(segment: bytes) -> UserId:
    """The user in one percent-encoded path segment; `%2F` is part of the id."""
    try:
        return _USER_ID.validate_python(unquote_to_bytes(segment).decode())
    except UnicodeDecodeError as error:
        raise _complaint("path", "user_id", "must be UTF-8, percent-encoded") from error
    except ValidationError as error:
        raise _complaint("path", "user_id", error.errors()[0]["msg"]) from error


def read_query(raw: bytes) -> RetrieveQuery:
    """The query string's fields.  Of a field sent twice the last counts; `exclude` adds up."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError as error:
        raise _complaint("query", "query", "must be UTF-8, percent-encoded") from error
    except ValueError as error:
        raise _complaint("query", "query", f"has more than {MAX_FIELDS} fields") from error
    said = dict(pairs)
    if "exclude" in said:
        said["exclude"] = ",".join(value for name, value in pairs if name == "exclude" and value)
    try:
        return RetrieveQuery.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _complaint("query", str(first["loc"][0]), first["msg"]) from error


def _complaint(part: str, name: str, says: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": (part, name), "msg": says}])
