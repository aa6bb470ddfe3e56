"""How single values look in documents: JSON in the API, YAML in files.

Durations are given as seconds, or as text: `90`, `"1m30s"`, `"00:01:30"`, ISO 8601 `"PT1M30S"`; they are answered in
seconds. Instants are ISO 8601 with an offset, and are answered in UTC. Text holds what PostgreSQL can store.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue

from include import registry
from include.errors import ConfigError
from include.store.edits import LARGEST_ID
from include.times import parse_duration, spell_duration

_FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(9000, 1, 1, tzinfo=timezone.utc)
_LONGEST = timedelta(days=3_660)
_DEEPEST = 64
_ISO_DURATION = re.compile(r"P(?=.)(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d{1,6})?S)?)?", re.ASCII)
_iso_duration: TypeAdapter[timedelta] = TypeAdapter(timedelta)

DURATION_SCHEMA: JsonSchemaValue = {
    "anyOf": [
        {"type": "number", "minimum": 0, "description": "seconds"},
        {"type": "string", "description": "such as 90s, 1m30s, 2h, 1d, 00:05:00, or PT90S"},
    ],
}


class Document(BaseModel):
    """What somebody writes: closed, so that a misspelt key is an error and not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Shown(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _read_duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str | timedelta):
        raise ValueError("write seconds, or a duration such as 90s, 1m30s, 2h or PT90S")
    if isinstance(value, int | float):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError):  # the latter: not a number
            raise ValueError("write seconds, and fewer of them") from None
    if isinstance(value, timedelta):
        return value
    if _ISO_DURATION.fullmatch(value):
        return _iso_duration.validate_python(value)
    try:
        return parse_duration(value, "duration")
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("duration: ")) from None


def between(least: timedelta, most: timedelta) -> AfterValidator:
    """A duration that is neither shorter nor longer."""

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"write at least {spell_duration(least)}, and at most {spell_duration(most)}")
        return value

    return AfterValidator(check)


def _to_utc(value: datetime) -> datetime:
    try:
        moved = value.astimezone(timezone.utc)
    except OverflowError:
        moved = _LAST
    if not _FIRST <= moved < _LAST:
        raise ValueError("an instant lies between the years 1970 and 9000")
    return moved


def storable(text: str) -> str:
    """The text itself; `ValueError` if PostgreSQL cannot store it."""
    if "\0" in text:
        raise ValueError("the character NUL cannot be stored; leave it out")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair cannot be stored; leave it out") from None
    return text


def _trimmed(text: str) -> str:
    if text != text.strip(" ") or not text:
        raise ValueError("a name neither begins nor ends with a space, and is not empty")
    if text.isascii() and text.isdigit():
        raise ValueError("a name that is all digits would be read as an id; write another one")
    return text


def _no_number(value: Any) -> Any:
    """Nobody can tell whether a number would be seconds or milliseconds."""
    if isinstance(value, int | float):
        raise ValueError("write an instant with its offset, such as 2026-11-21T09:00:00Z")
    return value


def spell_utc(value: datetime) -> str:
    """An instant as answers have it: `2026-11-21T09:00:00Z`."""
    return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


Duration = Annotated[  # of any length, also negative: `between` says what makes sense
    timedelta,
    BeforeValidator(_read_duration),
    PlainSerializer(timedelta.total_seconds, return_type=float, when_used="json"),
    WithJsonSchema(DURATION_SCHEMA, mode="validation"),
]
AnyDuration = Annotated[Duration, between(timedelta(0), _LONGEST)]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_no_number),
    AfterValidator(_to_utc),
    PlainSerializer(spell_utc, return_type=str, when_used="json"),
]
ShownInstant = Annotated[
    datetime,
    PlainSerializer(spell_utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Seconds = Annotated[timedelta, PlainSerializer(timedelta.total_seconds, return_type=float, when_used="json")]
Storable = AfterValidator(storable)  # after what limits the length: pydantic speaks of items otherwise
Text = Annotated[str, Storable]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable), AfterValidator(_trimmed)]
Owner = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
ExternalId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
_Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ActionKind = Annotated[_Kind, WithJsonSchema({"type": "string", "enum": list(registry.action_kinds())})]
SourceKind = Annotated[_Kind, WithJsonSchema({"type": "string", "enum": list(registry.source_kinds())})]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


def _json_object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("write an object")
    _check_json(value, _DEEPEST)
    return value


def _json(value: Any) -> Any:
    _check_json(value, _DEEPEST)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth < 0:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not JSON")
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise ValueError(f"the name {name!r} is not text")
            storable(name)
            _check_json(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check_json(inner, depth - 1)
    elif value is not None and not isinstance(value, bool | int):
        raise ValueError(f"{type(value).__name__} is not JSON")


JsonObject = Annotated[dict[str, Any], PlainValidator(_json_object), WithJsonSchema({"type": "object"})]
Json = Annotated[Any, PlainValidator(_json), WithJsonSchema({})]


def _notify(notify: dict[str, Any]) -> dict[str, Any]:
    """As the tables and the kinds take it."""
    if not isinstance(notify.get("kind", ""), str):
        raise ValueError("kind: write the name of a kind, such as slack, email or webhook")
    if not isinstance(notify.get("payload", {}), dict):
        raise ValueError("payload: write an object")
    return notify


Notify = Annotated[JsonObject, AfterValidator(_notify)]
