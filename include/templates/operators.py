"""The operators and the tests of templates, under the names that Jinja has for them; what `filters` says holds here."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jinja2.exceptions import TemplateRuntimeError

from include.templates.allowance import check_room
from include.templates.values import Missing, spell

LARGEST_NUMBER = 10**100


def number(value: Any) -> int | float:
    """The value, if it is a number that is not too large to calculate with."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    if not -LARGEST_NUMBER < value < LARGEST_NUMBER:
        raise TemplateRuntimeError("a number of more than 100 digits")
    return value


def concatenate(*values: Any, between: str = "") -> str:
    """The values as one text."""
    texts = [spell(value) for value in values]
    check_room(sum(map(len, texts)) + len(between) * (len(texts) - 1))
    return between.join(texts)


def _add(left: Any, right: Any) -> Any:
    if type(left) is type(right) and isinstance(left, (str, list)):
        return left + right
    if isinstance(left, str) or isinstance(right, str):
        raise TemplateRuntimeError("+ adds numbers; write ~ to put texts together")
    return number(left) + number(right)


def _numeric(calculate: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *operands: number(calculate(*map(number, operands)))


def _within(value: Any, holder: Any) -> bool:
    return value in holder


def _not_within(value: Any, holder: Any) -> bool:
    return value not in holder


def _slice(value: Any, start: int | None, stop: int | None) -> Any:
    if isinstance(value, (str, list)):
        return value[start:stop]
    raise TypeError


CALCULATIONS: dict[str, Callable[..., Any]] = {
    "+": _add,
    "-": _numeric(operator.sub),
    "*": _numeric(operator.mul),
    "/": _numeric(operator.truediv),
    "//": _numeric(operator.floordiv),
    "%": _numeric(operator.mod),
}
SIGNS: dict[str, Callable[..., Any]] = {"+": _numeric(operator.pos), "-": _numeric(operator.neg)}
# What Jinja would compile to Python's own operators is compiled to filters by these names, so that it is counted too.
AS_FILTERS: dict[str, tuple[str, Callable[..., Any]]] = {
    "eq": ("==", operator.eq),
    "ne": ("!=", operator.ne),
    "lt": ("<", operator.lt),
    "lteq": ("<=", operator.le),
    "gt": (">", operator.gt),
    "gteq": (">=", operator.ge),
    "in": ("in", _within),
    "notin": ("not in", _not_within),
    "concat": ("~", concatenate),
    "slice": ("[:]", _slice),
}


def _is_defined(value: Any) -> bool:
    return not isinstance(value, Missing)


def _is_undefined(value: Any) -> bool:
    return isinstance(value, Missing)


def _is_truthy(value: Any) -> bool:
    return not isinstance(value, Missing) and bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_ORDER: dict[str, Callable[..., bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
# `in` is not here: with a list of each side it would take quadratic time.
SELECTABLE: dict[str, Callable[..., bool]] = {
    "truthy": _is_truthy,
    "defined": _is_defined,
    "undefined": _is_undefined,
    **_ORDER,
}
TESTS: dict[str, Callable[..., bool]] = {
    "defined": _is_defined,
    "undefined": _is_undefined,
    **_ORDER,
    "in": _within,
    "none": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "number": _is_number,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, float),
    "string": lambda value: isinstance(value, str),
    "mapping": lambda value: isinstance(value, dict),
    "sequence": lambda value: isinstance(value, list),
    "odd": lambda value: number(value) % 2 == 1,
    "even": lambda value: number(value) % 2 == 0,
}
