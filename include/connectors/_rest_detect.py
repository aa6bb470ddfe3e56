"""What a first reply gives away: where its rows are, and how it goes on. The rules are those of dlt's detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from include.connectors._paths import spell
from include.connectors._rest_links import links
from include.connectors._rest_pages import HeaderLink, JsonCursor, JsonLink, Known, PageNumber, SinglePage

_ROWS = frozenset(
    {"data", "items", "results", "entries", "records", "rows", "entities", "payload", "content", "objects", "values"}
)
_TOTAL_PAGES = frozenset({"total_pages", "pages", "totalpages"})
_PAGE = frozenset({"page", "current_page", "currentpage", "page_number", "pagenumber", "number"})
_DEEPEST_LIST = 3
_DEEPEST_SCALAR = 50

Keys = tuple[str, ...]


def find_rows(data: Any) -> str:
    """The path to the rows: the first list with a telling name, or else the first list, or else the whole reply."""
    lists = list(_lists(data)) if isinstance(data, dict) else []
    return spell(next((keys for keys in lists if keys[-1] in _ROWS), lists[0] if lists else ()))


def find_paginator(headers: Mapping[str, str], data: Any) -> Known:
    """The paginator that the reply speaks of, by decreasing certainty; a single page if it speaks of none."""
    if links(headers).get("next"):
        return HeaderLink(type="header_link")
    following = next(_scalars(data, _is_next), None)
    if following is not None:
        keys, value = following
        if isinstance(value, str) and value.startswith(("http", "/")):
            return JsonLink(type="json_link", next_url_path=spell(keys))
    total = next(_scalars(data, lambda keys: keys[-1].lower() in _TOTAL_PAGES), None)
    if total is not None and _is_count(total[1]):
        return PageNumber(type="page_number", total_path=spell(total[0]), base_page=_first_page(data, total[0]))
    if following is not None:
        return JsonCursor(type="cursor", cursor_path=spell(following[0]))
    return SinglePage(type="single_page")


def _lists(data: dict[str, Any], above: Keys = ()) -> Iterator[Keys]:
    for key, value in data.items():
        if isinstance(value, list):
            yield (*above, key)
        elif isinstance(value, dict) and len(above) + 1 < _DEEPEST_LIST:
            yield from _lists(value, (*above, key))


def _scalars(data: Any, wanted: Callable[[Keys], bool], above: Keys = ()) -> Iterator[tuple[Keys, str | int | float]]:
    """Every text and number whose keys are wanted, in the order of the reply."""
    for key, value in data.items() if isinstance(data, dict) else ():
        keys = (*above, key)
        if isinstance(value, dict) and len(keys) < _DEEPEST_SCALAR:
            yield from _scalars(value, wanted, keys)
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool) and wanted(keys):
            yield keys, value


def _is_next(keys: Keys) -> bool:
    """A name such as next, nextPage or next_cursor; or, in an object of such a name, one such as href or url."""
    *above, last = (key.lower() for key in keys[-2:])
    return last.startswith("next") or bool(above and above[0].startswith("next") and last.startswith(("href", "url")))


def _is_count(value: str | int | float) -> bool:
    try:
        int(value)
    except (ValueError, OverflowError):
        return False
    return True


def _first_page(data: Any, total_keys: Keys) -> int:
    """1 if the reply says, beside the total, that it is page 1; else 0. dlt takes 0, and would miss the last page."""
    for key in total_keys[:-1]:
        data = data[key]
    return int(any(key.lower() in _PAGE and str(value) == "1" for key, value in data.items()))
