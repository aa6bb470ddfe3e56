"""Versions of rows (RFC 9110, 13): the ETag is the row's revision, and `If-Match` guards against lost updates."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from include.errors import RefusedError
from include.store.edits import Row

IfMatch = Annotated[
    str | None,
    Header(max_length=1000, description="The ETag of the row as you know it: 412 if somebody has changed it since."),
]
IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="304 if the row still has this ETag.")]


def etag(row: Row) -> str:
    """The version of a row."""
    return f'"{row["revision"]}"'


def check_match(row: Row, if_match: str | None) -> None:
    """`RefusedError` (412) if the row is not as the caller knows it."""
    if if_match is not None and not _matches(row, if_match):
        raise RefusedError(412, f"somebody has changed it: it is {etag(row)} now; get it again, and then change it")


def is_known(row: Row, if_none_match: str | None) -> bool:
    """Whether the caller has the row as it is (304)."""
    return if_none_match is not None and _matches(row, if_none_match)


def _matches(row: Row, tags: str) -> bool:
    wanted = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    return "*" in wanted or etag(row) in wanted
