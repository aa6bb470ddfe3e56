"""YAML as JSON would say it, with the line of each key.

Plain values mean what YAML 1.2's core schema says, in JSON's spelling: `on` and `2026-01-01` are texts. No key comes
twice, and what anchors and nesting can blow up is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events

from include.errors import ConfigError

Keys = tuple[str, ...]

_DEEPEST = 64
# Values in one file, those that aliases repeat included: a whole configuration has fewer.
_MOST_VALUES = 1_000_000
_DEEPEST_LINE = 6  # such as jobs.KEY.payload.body.order.id
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,308})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_STR = "tag:yaml.org,2002:str"
# JSON writes what lies beyond 65,535 as two escapes, which YAML does not know; other escapes are passed over.
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One document: its value, the line at which it begins, and the lines of its keys, as far as six levels deep."""

    value: Any
    line: int
    lines: dict[Keys, int]


def read_yaml(text: str, file: str) -> list[Parsed]:
    """The documents of a file; `ConfigError` says at which line something is wrong."""
    if file.endswith(".json"):
        text = _ESCAPE.sub(_joined, text)
    try:
        return list(_Reader(file, yaml.parse(text, yaml.CSafeLoader)).documents())
    except yaml.MarkedYAMLError as error:
        raise _wrong(file, error.problem_mark, f"not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: not YAML: {error.reason} (#x{error.character:04x})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from error


def scalar(text: str) -> Any:
    """What a plain scalar means."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text


@dataclass
class _Reader:
    """Builds values from what the parser reports, one event after another."""

    file: str
    parsed: Iterator[Any]
    lines: dict[Keys, int] = field(default_factory=dict)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    values: int = 0

    def documents(self) -> Iterator[Parsed]:
        for event in self.parsed:
            if isinstance(event, events.DocumentStartEvent):
                self.lines, self.anchors = {}, {}
                begins = self._next()
                value = self._value(begins, ())
                if value is not None:
                    yield Parsed(value, _line(begins), self.lines)

    def _next(self) -> Any:
        return next(self.parsed)

    def _value(self, event: Any, path: Keys, depth: int = _DEEPEST) -> Any:
        before = self.values
        self._count(1, event)
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._error(event, f"there is no anchor &{event.anchor} before this")
            value, size = self.anchors[event.anchor]
            self._count(size, event)
            return value
        if depth < 0:
            raise self._error(event, f"it is nested deeper than {_DEEPEST} levels")
        if event.tag not in (None, "!", _STR):
            raise self._error(event, f"tags such as {event.tag} mean nothing here")
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, events.SequenceStartEvent):
            value = self._sequence(path, depth)
        else:
            value = self._mapping(path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.values - before)
        return value

    def _scalar(self, event: Any) -> Any:
        value = scalar(event.value) if event.implicit[0] else event.value
        if value in (float("inf"), float("-inf")):
            raise self._error(event, f"{event.value} is too large a number; put it into quotes")
        return value

    def _sequence(self, path: Keys, depth: int) -> list[Any]:
        made: list[Any] = []
        while not isinstance(event := self._next(), events.SequenceEndEvent):
            made.append(self._value(event, (*path, str(len(made))), depth - 1))
        return made

    def _mapping(self, path: Keys, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(event := self._next(), events.MappingEndEvent):
            if not isinstance(event, events.ScalarEvent):
                raise self._error(event, "a key must be a text")
            name, inner = event.value, (*path, event.value)
            if name in made:
                raise self._error(event, f"{name!r} is there twice")
            if len(inner) <= _DEEPEST_LINE:
                self.lines[inner] = _line(event)
            made[name] = self._value(self._next(), inner, depth - 1)
        return made

    def _count(self, values: int, event: Any) -> None:
        self.values += values
        if self.values > _MOST_VALUES:
            raise self._error(event, f"with its aliases the file holds more than {_MOST_VALUES:,} values")

    def _error(self, event: Any, said: str) -> ConfigError:
        return _wrong(self.file, event.start_mark, said)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _wrong(file: str, mark: Any, said: str) -> ConfigError:
    place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    return ConfigError(f"{file}{place}: {said}")


def _joined(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return (bytes.fromhex(found[1]) + bytes.fromhex(found[2])).decode("utf-16-be")
