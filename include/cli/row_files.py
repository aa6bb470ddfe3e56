"""Rows from YAML files, each document one row: its keys are columns, its values are spelt as on the command line.

Plain values mean what YAML 1.2's core schema says, in JSON's spelling: `on` and `2026-01-01` are texts.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import yaml

from include.cli.payload import read_text
from include.errors import ConfigError
from include.times import parse_duration

# A value as it is written, and what to call it in an error, become a column's value, or a `ConfigError`.
Reader = Callable[[Any, str], Any]


def read_rows(file: str, noun: str, columns: Mapping[str, Reader]) -> list[dict[str, Any]]:
    """The rows of a file (`-`: standard input), in its order. `noun: NAME` is short for `name: NAME`.

    A key without a value counts as not given. `ConfigError` says where what is wrong: the syntax, a key that is no
    column (with the nearest one), a value that does not fit, a name that is missing.
    """
    documents = _documents(read_text(file, f"--file {file}"), file)
    if not documents:
        raise ConfigError(f"{file} is empty; write a mapping, such as {noun}: NAME")
    return [
        _row(written, f"{file}, document {number}" if len(documents) > 1 else file, noun, columns)
        for number, written in enumerate(documents, start=1)
    ]


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what}: {value!r} is not a text; put it into quotes")
    return value


def whole_number(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{what}: {value!r} is not a whole number")
    return value


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{what}: {value!r} is neither true nor false")
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{what}: {value!r} is not a mapping; write key: value, indented below it")
    return value


def duration(value: Any, what: str) -> timedelta:
    """`30s`, `1m30s`, `2h`: a bare number does not say of what."""
    return parse_duration(str(value), what)


def one_of(*choices: str) -> Reader:
    def read(value: Any, what: str) -> str:
        if value not in choices:
            raise ConfigError(f"{what}: {value!r} is none of {', '.join(choices)}")
        return str(value)

    return read


def _row(written: Any, where: str, noun: str, columns: Mapping[str, Reader]) -> dict[str, Any]:
    if not isinstance(written, dict):
        raise ConfigError(f"{where} is not a mapping; write {noun}: NAME, and below it the other columns")
    try:
        json.dumps(written, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where} holds what JSON cannot say: {error}") from error
    if noun in written and "name" in written:
        raise ConfigError(f"{where}: {noun} and name are both given, and mean the same; keep one of them")
    given = {"name" if key == noun else key: value for key, value in written.items() if value is not None}
    for key in sorted(given.keys() - columns.keys()):
        close = difflib.get_close_matches(key, columns, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(columns)}"
        raise ConfigError(f"{where}: there is no {key!r}; {hint}")
    if "name" not in given:
        raise ConfigError(f"{where}: it has no name; write {noun}: NAME")
    return {key: columns[key](value, f"{where}, {key}") for key, value in given.items()}


def _documents(content: str, file: str) -> list[Any]:
    try:
        return [document for document in yaml.load_all(content, _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigError(f"{file}{place}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Nothing but what JSON can say: no dates, no keys that are numbers, and no key twice."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - PyYAML's own name for it; it is filled below, once

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key.start_mark)
            if key.value in made:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            made[key.value] = self.construct_object(value, deep=deep)
        return made


for _tag, _spelling, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_spelling})\Z"), list(_first))
