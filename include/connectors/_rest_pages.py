"""The ways in which APIs give their records page by page: names, fields and defaults are those of dlt's `rest_api`.

A paginator keeps nothing. The place of the next page is a JSON value that goes into the cursor, so that any process can
go on from any page: a number, a URL or the source's own token.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from include import model
from include.connectors._paths import JsonPath, path
from include.connectors._rest_fields import BodyPath, Name
from include.connectors._rest_links import links
from include.connectors._rest_request import Request
from include.errors import PermanentError

_YES = frozenset({"yes", "true", "t", "y", "1"})
_NO = frozenset({"no", "false", "f", "n", "0"})


@dataclass(frozen=True, slots=True)
class Seen:
    """A reply as a paginator sees it: its JSON, the rows in it, and how a link in it is to be followed."""

    headers: Mapping[str, str]
    data: Any
    rows: Sequence[Any]
    link: Callable[[str], str]


class _Paginator(model.Config):
    def first(self) -> Any:
        """The place of the first page; None where the request needs no addition for it."""
        return None

    def ask(self, request: Request, place: Any) -> Request:
        """The request for the page at a place."""
        return request

    @abstractmethod
    def after(self, place: Any, seen: Seen) -> Any:
        """The place of the page after the one that was seen, or None if that was the last."""


class Auto(model.Config):
    """Find out from the first reply."""

    type: Literal["auto"]


class SinglePage(_Paginator):
    """There is one page."""

    type: Literal["single_page"]

    def after(self, place: Any, seen: Seen) -> Any:
        return None


class _Link(_Paginator):
    def ask(self, request: Request, place: Any) -> Request:
        return request.at(place)


class JsonLink(_Link):
    """The reply holds the URL of the next page."""

    type: Literal["json_link"]
    next_url_path: JsonPath = Field(default="next", description="Where in the reply the URL is.")

    def after(self, place: Any, seen: Seen) -> Any:
        link = path(self.next_url_path).first(seen.data)
        if not link:
            return None
        if not isinstance(link, str):
            raise PermanentError(f"next_url_path: the reply has no URL at {self.next_url_path}")
        return seen.link(link)


class HeaderLink(_Link):
    """The `Link` header (RFC 8288) holds the URL of the next page."""

    type: Literal["header_link"]
    links_next_key: Name = Field(default="next", description="The relation of the link to follow.")

    def after(self, place: Any, seen: Seen) -> Any:
        link = links(seen.headers).get(self.links_next_key)
        return seen.link(link) if link else None


class HeaderCursor(_Paginator):
    """A header holds the token of the next page."""

    type: Literal["header_cursor"]
    cursor_key: Name = Field(default="next", description="The header.")
    cursor_param: Name = Field(default="cursor", description="The parameter that takes the token.")

    def ask(self, request: Request, place: Any) -> Request:
        return request.with_param(self.cursor_param, place)

    def after(self, place: Any, seen: Seen) -> Any:
        return seen.headers.get(self.cursor_key) or None


class JsonCursor(_Paginator):
    """The reply holds the token of the next page."""

    type: Literal["cursor"]
    cursor_path: JsonPath = Field(default="cursors.next", description="Where in the reply the token is.")
    cursor_param: Name | None = Field(default=None, description="The parameter that takes it: cursor.")
    cursor_body_path: BodyPath | None = Field(default=None, description="Or where in the body it goes.")
    stop_after_empty_page: bool = False
    has_more_path: JsonPath | None = Field(default=None, description="Where the reply says whether there is more.")

    @model_validator(mode="after")
    def _one_place(self) -> JsonCursor:
        _not_both(self, "cursor_param", "cursor_body_path")
        return self

    def ask(self, request: Request, place: Any) -> Request:
        return _put(request, self.cursor_param or "cursor", self.cursor_body_path, place)

    def after(self, place: Any, seen: Seen) -> Any:
        if self.stop_after_empty_page and not seen.rows:
            return None
        token = path(self.cursor_path).first(seen.data) or None
        return token if self.has_more_path is None or _has_more(self.has_more_path, seen) else None


class _Counted(_Paginator):
    """Pages that are counted: the next one is a step further, as long as there is one."""

    total_path: JsonPath | None = Field(default="total", description="Where the reply says how many there are.")
    stop_after_empty_page: bool = True
    has_more_path: JsonPath | None = Field(default=None, description="Where the reply says whether there is more.")

    def _next(self, value: int, seen: Seen, base: int, maximum: int | None) -> int | None:
        if self.stop_after_empty_page and not seen.rows:
            return None
        total = None if self.total_path is None else _total(self.total_path, seen)
        more = (total is None or value < total + base) and (maximum is None or value < maximum)
        if self.has_more_path is not None:
            more = _has_more(self.has_more_path, seen) and more
        return value if more else None

    def _check_end(self, maximum_name: str) -> None:
        ends = (self.total_path, getattr(self, maximum_name), self.has_more_path)
        if ends == (None, None, None) and not self.stop_after_empty_page:
            raise ValueError(f"write total_path, {maximum_name}, has_more_path or stop_after_empty_page: where it ends")


class Offset(_Counted):
    """The request says how many records to skip and how many to give."""

    type: Literal["offset"]
    limit: PositiveInt = Field(description="How many records to ask for at a time.")
    offset: int = Field(default=0, ge=0, description="How many to skip at first.")
    offset_param: Name | None = Field(default=None, description="The parameter that takes the offset: offset.")
    limit_param: Name | None = Field(default=None, description="The parameter that takes the limit: limit.")
    offset_body_path: BodyPath | None = Field(default=None, description="Or where in the body the offset goes.")
    limit_body_path: BodyPath | None = Field(default=None, description="Or where in the body the limit goes.")
    maximum_offset: int | None = Field(default=None, description="Stop when the offset reaches this.")

    @model_validator(mode="after")
    def _consistent(self) -> Offset:
        _not_both(self, "offset_param", "offset_body_path")
        _not_both(self, "limit_param", "limit_body_path")
        self._check_end("maximum_offset")
        return self

    def first(self) -> Any:
        return self.offset

    def ask(self, request: Request, place: Any) -> Request:
        request = _put(request, self.offset_param or "offset", self.offset_body_path, place)
        return _put(request, self.limit_param or "limit", self.limit_body_path, self.limit)

    def after(self, place: Any, seen: Seen) -> Any:
        return self._next(place + self.limit, seen, 0, self.maximum_offset)


class PageNumber(_Counted):
    """The request says the number of the page."""

    type: Literal["page_number"]
    base_page: int = Field(default=0, description="The number of the first page that there is: 0 or 1.")
    page: int | None = Field(default=None, description="The number of the first page to ask for: base_page.")
    page_param: Name | None = Field(default=None, description="The parameter that takes the number: page.")
    page_body_path: BodyPath | None = Field(default=None, description="Or where in the body the number goes.")
    maximum_page: int | None = Field(default=None, description="Stop when the number reaches this.")

    @model_validator(mode="after")
    def _consistent(self) -> PageNumber:
        _not_both(self, "page_param", "page_body_path")
        self._check_end("maximum_page")
        return self

    def first(self) -> Any:
        return self.base_page if self.page is None else self.page

    def ask(self, request: Request, place: Any) -> Request:
        return _put(request, self.page_param or "page", self.page_body_path, place)

    def after(self, place: Any, seen: Seen) -> Any:
        return self._next(place + 1, seen, self.base_page, self.maximum_page)


Known = SinglePage | JsonLink | HeaderLink | HeaderCursor | JsonCursor | Offset | PageNumber
Type = Literal["auto", "single_page", "json_link", "header_link", "header_cursor", "cursor", "offset", "page_number"]


def _spelt_out(value: object) -> object:
    if isinstance(value, dict) and "type" not in value:
        raise ValueError('write a type, such as {"type": "offset", "limit": 100}')
    return {"type": value} if isinstance(value, str) else value


Paginator = Annotated[
    Annotated[Auto | Known, Field(discriminator="type")],
    BeforeValidator(_spelt_out, json_schema_input_type=Type | Annotated[Auto | Known, Field(discriminator="type")]),
]


def _put(request: Request, param: str, body_path: str | None, value: Any) -> Request:
    return request.with_param(param, value) if body_path is None else request.with_body(body_path, value)


def _not_both(paginator: _Paginator, param: str, body_path: str) -> None:
    if getattr(paginator, param) is not None and getattr(paginator, body_path) is not None:
        raise ValueError(f"write {param} or {body_path}, not both")


def _total(total_path: str, seen: Seen) -> int:
    total = path(total_path).first(seen.data)
    if total is None:
        raise PermanentError(f"total_path: the reply has no total at {total_path}; write null if it never has one")
    try:
        return int(total)
    except (TypeError, ValueError, OverflowError):
        raise PermanentError(f"total_path: what the reply has at {total_path} is not a number") from None


def _has_more(has_more_path: str, seen: Seen) -> bool:
    more = path(has_more_path).first(seen.data)
    word = more.lower() if isinstance(more, str) else more
    if word is True or word in _YES:
        return True
    if word is False or word in _NO:
        return False
    what = "has nothing" if more is None else "has neither true nor false"
    raise PermanentError(f"has_more_path: the reply {what} at {has_more_path}")
