"""Lists: so many rows at a time, in an order, and a cursor for those that follow.

A cursor says which row was the last, so what is added or removed meanwhile neither repeats nor hides a row.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel

from include.documents.fields import Text
from include.errors import RefusedError
from include.store.edits import LARGEST_ID, Row
from include.store.search import Search

MOST = 500
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]
SearchText = Annotated[Text | None, Query(min_length=1, max_length=200, description="Rows in which this text occurs.")]

OwnerFilter = Annotated[
    Text | None, Query(max_length=200, description="Of this owner; of another one's rows, only admins see any.")
]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None
    total: int | None = None


def sorting(*names: str) -> Any:
    """The query parameter `sort` of a list that can be in the order of these columns, the first by itself."""
    allowed = "|".join(names)
    described = f"One of {', '.join(names)}; with `-` before it, the other way round."
    return Query(pattern=f"^-?({allowed})$", description=described)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: how the order is, and after which row. Whoever passes it on keeps his filters."""

    sort: str
    key: str
    id: int


def encode(place: Place) -> str:
    """A cursor: base64url, for whoever asks to pass on and not to read."""
    return base64.urlsafe_b64encode(json.dumps([place.sort, place.key, place.id]).encode()).decode().rstrip("=")


def decode(cursor: str | None, sort: str) -> tuple[str, int] | None:
    """What a cursor says; `RefusedError` (400) if it is none, or one of a list in another order."""
    if cursor is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        found = None
    match found:
        case [str(of), str(key), int(row_id)] if of == sort and 0 <= row_id <= LARGEST_ID and "\0" not in key:
            if key.isascii() or _is_text(key):
                return key, row_id
    raise RefusedError(400, "cursor: it is not one of this list in this order; leave it out to begin anew")


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def search_for(
    owner: str | None,
    *,
    sort: str,
    limit: int,
    cursor: str | None,
    text: str | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Search:
    """What to ask the store for: a row more than the page has, to know whether there is a next one."""
    return Search(
        owner=owner,
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        limit=limit + 1,
        search=text,
        after=decode(cursor, sort),
        filters=filters or {},
    )


def page_of(
    rows: Sequence[Row], *, sort: str, limit: int, show: Callable[[Row], Mapping[str, Any]], id: str = "id"
) -> dict[str, Any]:
    """The rows as a page; each has its place in the order as `sort_key`, and `total` if that is counted."""
    shown = rows[:limit]
    more = len(rows) > limit
    place = Place(sort, str(shown[-1]["sort_key"]), int(shown[-1][id])) if more else None
    return {
        "items": [show(row) for row in shown],
        "next": None if place is None else encode(place),
        "total": shown[0].get("total") if shown else None,
    }


def link(request: Request, cursor: str | None) -> dict[str, str]:
    """The header `Link` (RFC 8288) to the page that follows, if there is one."""
    if cursor is None:
        return {}
    return {"Link": f'<{request.url.include_query_params(cursor=cursor)}>; rel="next"'}
