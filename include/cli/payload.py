"""A payload from the command line: as JSON, from a file, or field by field."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from include.errors import ConfigError

_EXAMPLE = """'{"url": "https://example.com/"}'"""


def parse_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object; `what` names the option, or the file, in the error."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ConfigError(f"{what} is not JSON ({error}); write an object, such as {_EXAMPLE}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{what} is not a JSON object; write one, such as {_EXAMPLE}")
    return value


def read_payload(text: str | None, file: str | None, option: str = "--payload") -> dict[str, Any] | None:
    """What `--payload` or `--payload-file` gives (`-`: standard input); None if neither is there."""
    if text is not None and file is not None:
        raise ConfigError(f"{option} and {option}-file are both given; keep one of them")
    if text is not None:
        return parse_object(text, option)
    if file is None:
        return None
    return parse_object(read_text(file, f"{option}-file {file}"), f"{option}-file {file}")


def read_text(file: str, what: str) -> str:
    """A file's text (`-`: standard input); `what` names it in the error."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from error


def assign(
    payload: dict[str, Any], assignments: Iterable[str], removals: Iterable[str] = (), what: str = "payload"
) -> dict[str, Any]:
    """The payload with each `key=value` set, and then each key of `removals` taken out; dots lead into objects.

    A value is JSON if it can be read as such, and a text otherwise.
    """
    result: dict[str, Any] = json.loads(json.dumps(payload))
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {assignment!r}: write key=value, or key.inner=value")
        *path, last = key.split(".")
        _inner(result, path, f"--set {assignment!r}")[last] = _value(value)
    for key in removals:
        *path, last = key.split(".")
        if _inner(result, path, f"--unset {key}").pop(last, result) is result:
            raise ConfigError(f"--unset {key}: the {what} has no such key")
    return result


def _inner(payload: dict[str, Any], path: list[str], what: str) -> dict[str, Any]:
    for key in path:
        payload = payload.setdefault(key, {})
        if not isinstance(payload, dict):
            raise ConfigError(f"{what}: {key} is not an object, so nothing can be inside it")
    return payload


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
