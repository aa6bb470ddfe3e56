"""Where a pull is, as it is kept in the cursor: all that another process needs to go on, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from include.connectors._rest_config import Config
from include.connectors._rest_fields import CursorValue, to_json
from include.connectors._rest_pages import Known

_KNOWN: TypeAdapter[Any] = TypeAdapter(Known)
# What may be changed in the middle of a pull without another reply to the same request.
_BESIDE_THE_POINT = {"conn_id", "auth", "headers", "response_actions", "primary_key"}


@dataclass(frozen=True, slots=True)
class Place:
    """`since`: the greatest value of the pulls before. `last`: the greatest so far. `next`: the place of the next page.

    `paginator` and `data_selector` are what the pull goes by, known before or found out.
    """

    since: CursorValue | None
    last: CursorValue | None
    next: Any
    paginator: Known | None
    data_selector: str | None


def begin(config: Config, since: CursorValue | None, last: CursorValue | None = None) -> Place:
    """The place before the first page, with what is known of it already."""
    paginator = config.known_paginator
    selector = config.data_selector or ("$" if config.one_record else None)
    first = None if paginator is None else paginator.first()
    return Place(since, since if last is None else last, first, paginator, selector)


def read(config: Config, cursor: JsonValue) -> tuple[Place, bool]:
    """The place in a cursor, and whether it is in the middle of a pull.

    A cursor from before an edit of the request counts for its last value only; that of another field not at all.
    """
    if not isinstance(cursor, dict):
        return begin(config, None), False
    start = begin(config, _value(config, cursor.get("last")))
    paging = cursor.get("paging")
    if not isinstance(paging, dict) or paging.get("of") != _digest(config) or paging.get("next") is None:
        return start, False
    found = replace(start, last=_value(config, paging.get("last")), next=paging["next"])
    if start.data_selector is None:
        found = replace(found, data_selector=str(paging.get("data_selector") or "$"))
    if start.paginator is None:
        try:
            found = replace(found, paginator=_KNOWN.validate_python(paging.get("paginator")))
        except ValidationError:
            return start, False
    return found, True


def paging(config: Config, place: Place) -> JsonValue:
    """The cursor in the middle of a pull."""
    found: dict[str, JsonValue] = {"of": _digest(config), "next": place.next}
    start = begin(config, None)
    if start.paginator is None and place.paginator is not None:
        found["paginator"] = described(place.paginator)
    if start.data_selector is None:
        found["data_selector"] = place.data_selector
    if place.last is not None:
        found["last"] = _named(config, place.last)
    return {**_last(config, place.since), "paging": found}


def done(config: Config, place: Place) -> JsonValue:
    """The cursor after the last page: what the next pull begins with, None if that is the beginning."""
    bounded = config.incremental is not None and config.incremental.end_value is not None
    return _last(config, place.since if bounded else place.last) or None


def described(paginator: Known) -> dict[str, JsonValue]:
    """A paginator as one would write it into the configuration."""
    return {"type": paginator.type, **paginator.model_dump(mode="json", exclude_defaults=True)}


def _last(config: Config, value: CursorValue | None) -> dict[str, JsonValue]:
    return {} if value is None else {"last": _named(config, value)}


def _named(config: Config, value: CursorValue) -> dict[str, JsonValue]:
    return {} if config.incremental is None else {config.incremental.cursor_path: value}


def _value(config: Config, named: Any) -> CursorValue | None:
    if config.incremental is None or not isinstance(named, Mapping):
        return None
    value = named.get(config.incremental.cursor_path)
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def _digest(config: Config) -> str:
    settings = config.model_dump(mode="json", exclude=_BESIDE_THE_POINT)
    return hashlib.sha256(to_json(settings).encode()).hexdigest()[:12]
