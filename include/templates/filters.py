"""The filters: what a template can make of a value.

Each is a plain function of JSON values and instants that is offered through `counted`. So it may fail as it likes; but
it takes about linear time, and sees whether there is room before it makes something much longer than what it was given.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode

from jinja2.exceptions import TemplateRuntimeError

from include.templates.allowance import check_room
from include.templates.operators import SELECTABLE, concatenate, number
from include.templates.values import Missing, digger, encode, item, spell

_MOST_SORTED = 10_000
_LONGEST_URL_PART = 8 * 1024
_LONGEST_NUMBER = 120
_DATE_FORMAT = re.compile(r"(?:[^%]|%[YmdHMSfjyBbAauVIpzZ%]){1,200}")


# -- texts -------------------------------------------------------------------------------------------------------------


def _trim(value: str) -> str:
    return str.strip(value)


def _replace(value: str, old: str, new: str) -> str:
    check_room(len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


def _truncate(value: str, length: int = 255, killwords: bool = False, end: str = "...") -> str:
    if len(value) <= length:
        return value
    kept = value[: max(length - len(end), 0)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def _split(value: str, separator: str | None = None) -> list[str]:
    return str.split(value, separator)


def _urlencode(value: Any) -> str:
    if isinstance(value, dict):
        return urlencode({name: _url_part(part) for name, part in value.items()}, quote_via=quote)
    return quote(_url_part(value), safe="")


def _url_part(value: Any) -> str:
    text = spell(value)
    if len(text) > _LONGEST_URL_PART:
        raise TemplateRuntimeError(f"urlencode: a text of more than {_LONGEST_URL_PART:,} characters")
    return text


def _date(value: Any, format: str = "%Y-%m-%d") -> str:
    if not _DATE_FORMAT.fullmatch(format):
        raise TemplateRuntimeError("date: write a format such as '%Y-%m-%d %H:%M', of at most 200 characters")
    if isinstance(value, str):
        value = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value))
    elif not isinstance(value, datetime):
        value = datetime.fromtimestamp(number(value), timezone.utc)
    return str(value.strftime(format))


# -- lists and objects -------------------------------------------------------------------------------------------------


def _elements(value: Any) -> list[Any]:
    if isinstance(value, (list, dict)):
        return list(value)
    raise TypeError


def _parts(value: Any, attribute: str | None) -> list[Any]:
    return [part.fail() if isinstance(part, Missing) else part for part in _maybe_parts(value, attribute)]


def _maybe_parts(value: Any, attribute: str | None) -> list[Any]:
    return _elements(value) if attribute is None else list(map(digger(attribute), _elements(value)))


def _length(value: str | list[Any] | dict[str, Any]) -> int:
    return len(value)


def _first(value: str | list[Any]) -> Any:
    return _end(value, 0, "first")


def _last(value: str | list[Any]) -> Any:
    return _end(value, -1, "last")


def _end(value: Any, index: int, name: str) -> Any:
    if isinstance(value, (str, list)):
        return item(value, index, name)
    raise TypeError


def _items(value: dict[str, Any]) -> list[Any]:
    return [list(pair) for pair in dict.items(value)]


def _join(value: Any, d: str = "", attribute: str | None = None) -> str:
    return concatenate(*_parts(value, attribute), between=d)


def _map(value: Any, *, attribute: str, default: Any = Missing) -> list[Any]:
    if default is Missing:
        return _parts(value, attribute)
    return [default if isinstance(part, Missing) else part for part in _maybe_parts(value, attribute)]


def _chosen(value: Any, attribute: str | None, test: str, operands: tuple[Any, ...], wanted: bool) -> list[Any]:
    if test not in SELECTABLE:
        raise TemplateRuntimeError(f"what is selected by is one of: {', '.join(SELECTABLE)}")
    return [
        each
        for each, part in zip(_elements(value), _maybe_parts(value, attribute), strict=True)
        if bool(SELECTABLE[test](part, *operands)) is wanted
    ]


def _select(value: Any, test: str = "truthy", *operands: Any) -> list[Any]:
    return _chosen(value, None, test, operands, True)


def _reject(value: Any, test: str = "truthy", *operands: Any) -> list[Any]:
    return _chosen(value, None, test, operands, False)


def _selectattr(value: Any, attribute: str, test: str = "truthy", *operands: Any) -> list[Any]:
    return _chosen(value, attribute, test, operands, True)


def _rejectattr(value: Any, attribute: str, test: str = "truthy", *operands: Any) -> list[Any]:
    return _chosen(value, attribute, test, operands, False)


def _ranks(value: Any, attribute: str | None, case_sensitive: bool) -> list[Any]:
    ranks = _parts(value, attribute)
    if all(isinstance(rank, str) for rank in ranks):
        return ranks if case_sensitive else [rank.lower() for rank in ranks]
    if any(isinstance(rank, bool) or not isinstance(rank, (int, float)) for rank in ranks):
        raise TemplateRuntimeError("only texts, or only numbers, have an order: name an attribute that has them")
    return ranks


def _sort(value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: str | None = None) -> list[Any]:
    ranks, elements = _ranks(value, attribute, case_sensitive), _elements(value)
    if len(ranks) > _MOST_SORTED:
        raise TemplateRuntimeError(f"sort: a list of more than {_MOST_SORTED:,} items")
    return [elements[index] for index in sorted(range(len(ranks)), key=ranks.__getitem__, reverse=reverse)]


def _min(value: Any, case_sensitive: bool = False, attribute: str | None = None) -> Any:
    ranks = _ranks(value, attribute, case_sensitive)
    return item(_elements(value), ranks.index(min(ranks)) if ranks else 0, "min")


def _max(value: Any, case_sensitive: bool = False, attribute: str | None = None) -> Any:
    ranks = _ranks(value, attribute, case_sensitive)
    return item(_elements(value), ranks.index(max(ranks)) if ranks else 0, "max")


def _unique(value: Any, case_sensitive: bool = False, attribute: str | None = None) -> list[Any]:
    # By their spelling: numbers can be chosen so that all their hashes are the same, which would take quadratic time.
    first: dict[str, Any] = {}
    for part, each in zip(_parts(value, attribute), _elements(value), strict=True):
        first.setdefault(repr(part) if case_sensitive else repr(part).lower(), each)
    return list(first.values())


def _sum(value: Any, attribute: str | None = None, start: float = 0) -> int | float:
    total = number(start)
    for part in _parts(value, attribute):
        total = number(total + number(part))
    return total


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else _elements(value)[::-1]


# -- numbers and the rest ----------------------------------------------------------------------------------------------


def _parsed(value: Any) -> int | float:
    if not isinstance(value, str):
        return int(value) if isinstance(value, bool) else number(value)
    if len(value) > _LONGEST_NUMBER:
        raise ValueError
    try:
        return number(int(value))
    except ValueError:
        return number(float(value))


def _int(value: Any, default: Any = Missing) -> Any:
    try:
        return int(_parsed(value))
    except (TypeError, ValueError):
        if default is Missing:
            raise
        return default


def _float(value: Any, default: Any = Missing) -> Any:
    try:
        return float(_parsed(value))
    except (TypeError, ValueError):
        if default is Missing:
            raise
        return default


def _abs(value: float) -> float:
    return abs(number(value))


_ROUNDING: dict[str, Callable[[float], int]] = {"common": round, "ceil": math.ceil, "floor": math.floor}


def _round(value: Any, precision: int = 0, method: str = "common") -> int | float:
    rounding = _ROUNDING[method]
    if not 0 <= precision <= 15:
        raise TemplateRuntimeError("round: write a precision from 0 to 15")
    if precision == 0:
        return rounding(number(value))
    if method == "common":
        return round(number(value), precision)
    return float(rounding(number(value) * 10**precision) / 10**precision)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Missing) or (boolean and not value) else value


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "capitalize": str.capitalize,
    "d": _default,
    "date": _date,
    "default": _default,
    "escape": html.escape,
    "first": _first,
    "float": _float,
    "int": _int,
    "items": _items,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _elements,
    "lower": str.lower,
    "map": _map,
    "max": _max,
    "min": _min,
    "reject": _reject,
    "rejectattr": _rejectattr,
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "select": _select,
    "selectattr": _selectattr,
    "sort": _sort,
    "split": _split,
    "string": spell,
    "sum": _sum,
    "tojson": encode,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": str.upper,
    "urlencode": _urlencode,
}
