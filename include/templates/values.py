"""What templates work on: JSON values and instants, what lies within them, and how a text spells them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from json import JSONEncoder
from typing import Any, NoReturn

from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.runtime import LoopContext, StrictUndefined

# How a path ends whose last key is not written down but an expression.
COMPUTED = "[...]"
_MOST_NAMES, _LONGEST_NAME = 20, 60
_KINDS = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object", datetime: "an instant"}
_OF_A_LOOP: dict[str, Callable[[LoopContext], Any]] = {
    "index": lambda loop: loop.index,
    "index0": lambda loop: loop.index0,
    "first": lambda loop: loop.first,
    "last": lambda loop: loop.last,
    "length": lambda loop: loop.length,
}


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TemplateRuntimeError(f"{kind(value)} cannot be used as a value")


encode = JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_iso, allow_nan=False).encode


def spell(value: Any) -> str:
    """A value within a text: a text as it is, an instant in ISO 8601, all else as JSON."""
    if isinstance(value, str):
        return value
    return _iso(value) if isinstance(value, datetime) else encode(value)


def kind(value: object) -> str:
    """What a value is, for messages: never the value itself."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, LoopContext):
        return "the state of a loop"
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")


class Missing(StrictUndefined):
    """What is not there. Only `default`, `is defined` and `is undefined` can deal with it; all else says what there is.

    Jinja makes one with a name alone for what a template sets in one branch and reads in another.
    """

    __slots__ = ("_path",)

    def __init__(self, hint: str | None = None, obj: Any = None, name: Any = None, path: str | None = None) -> None:
        super().__init__(hint, obj, name)
        self._path = path

    def fail(self) -> NoReturn:
        """Raise `UndefinedError` with a message that names keys, but shows no values."""
        raise UndefinedError(self._undefined_message)

    @property
    def _undefined_message(self) -> str:
        holder, key = self._undefined_obj, self._undefined_name
        shown = repr(key[:_LONGEST_NAME]) if isinstance(key, str) else f"item {key}"
        if self._path is None:
            return f"{shown} is not set here"
        if self._path.endswith(COMPUTED):
            shown = "such key"  # it is a value, and messages do not show values
        if isinstance(holder, list):
            return f"{self._path}: there is no {shown}: the list has {len(holder)}"
        if not isinstance(holder, dict):
            return f"{self._path}: there is no {shown} in {kind(holder)}"
        if not holder:
            return f"{self._path}: there is no {shown}: the object is empty"
        names = ", ".join(each[:_LONGEST_NAME] for each in list(holder)[:_MOST_NAMES])
        more = ", ..." if len(holder) > _MOST_NAMES else ""
        return f"{self._path}: there is no {shown}; there are: {names}{more}"


def item(holder: Any, key: Any, path: str) -> Any:
    """What `holder` has under `key`, or `Missing`, which shows its `path`. Attributes of Python are out of reach."""
    if isinstance(holder, dict):
        if isinstance(key, str) and key in holder:
            return holder[key]
    elif isinstance(holder, (list, str)):
        if isinstance(key, int) and -len(holder) <= key < len(holder):
            return holder[key]
    elif isinstance(holder, Missing):
        return holder
    elif isinstance(holder, LoopContext) and isinstance(key, str) and key in _OF_A_LOOP:
        return _OF_A_LOOP[key](holder)
    return Missing(obj=holder, name=key, path=path)


def digger(path: str) -> Callable[[Any], Any]:
    """A function that gives what is at `path`, such as `user.emails.0`, or `Missing`."""
    parts = path.split(".")

    def dig(value: Any) -> Any:
        for part in parts:
            if isinstance(value, Missing):
                break
            value = item(value, int(part) if isinstance(value, list) and part.isdecimal() else part, path)
        return value

    return dig
