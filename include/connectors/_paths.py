"""JSONPath, and the short forms of it that nearly everybody writes at the speed of a dictionary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from jsonpath_ng import JSONPath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse
from pydantic import AfterValidator, Field

from include.errors import PermanentError

_NAME = r"""(?:@?[^\W\d][\w@-]*|"[^"\\]*"|'[^'\\]*')"""
_SIMPLE = re.compile(rf"\$|(?:\$\.)?{_NAME}(?:\.{_NAME})*")
_NAMES = re.compile(_NAME)
_BARE = re.compile(r"@?[^\W\d][\w@-]*")


@dataclass(frozen=True, slots=True)
class Path:
    """A path into JSON: `fields` to follow one after another, or else a compiled expression."""

    text: str
    fields: tuple[str, ...]
    compiled: JSONPath | None

    def find(self, data: Any) -> list[Any]:
        """Everything that the path leads to; null is a value."""
        if self.compiled is not None:
            try:
                return [match.value for match in self.compiled.find(data)]
            except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError):
                raise PermanentError(f"the path {self.text} cannot be applied to the reply") from None
        for field in self.fields:
            if type(data) is not dict or field not in data:
                return []
            data = data[field]
        return [data]

    def first(self, data: Any) -> Any:
        """The first thing that the path leads to, or None."""
        found = self.find(data)
        return found[0] if found else None

    def column(self, rows: Sequence[Any]) -> list[Any]:
        """What `first` gives for each row; without a function call each, for there may be thousands."""
        if self.compiled is not None:
            return [self.first(row) for row in rows]
        values = list(rows)
        for field in self.fields:
            values = [value.get(field) if type(value) is dict else None for value in values]
        return values


@lru_cache(maxsize=4096)
def path(text: str) -> Path:
    """Compile a path, or raise `ValueError` that says what to write."""
    if _SIMPLE.fullmatch(text):
        names = _NAMES.findall(text.removeprefix("$"))
        return Path(text, tuple(name[1:-1] if name[0] in "\"'" else name for name in names), None)
    # A pattern of the wrong sort takes longer than the universe lasts, and it would stand still for everybody.
    if "=~" in text or "`sub" in text:
        raise ValueError("write a path without regular expressions")
    try:
        return Path(text, (), parse(text))
    except (JSONPathError, ValueError, RecursionError):
        raise ValueError(f"{text!r} is not a JSONPath; write one such as data.items or data[*].item") from None


def spell(keys: Sequence[str]) -> str:
    """The path that leads through these keys."""
    return ".".join(key if _BARE.fullmatch(key) else _quoted(key) for key in keys) or "$"


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check(text: str) -> str:
    path(text)
    return text


JsonPath = Annotated[str, Field(max_length=500), AfterValidator(_check)]
