"""Placeholders in a request: a closed list of names, put in by our own hand.

`str.format` would walk from a value to its class, its module and the environment of the process; so nothing of a
configuration is ever a format. `{{` and `}}` stand for the braces themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

NAMES = ("incremental.start_value", "incremental.last_value", "incremental.initial_value", "incremental.end_value")

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_WHOLE = re.compile(r"\{([^{}]*)\}")
_PATH_SAFE = "!$&'()*+,;=:@~"  # what a segment of a path may hold (RFC 3986 3.3): a value stays inside its segment


def used(value: Any) -> Iterator[tuple[str, bool]]:
    """Each placeholder in a value, its keys and its items, and whether it is all of its text.

    `ValueError` says what to write instead of anything else in braces.
    """
    for text in _texts(value):
        for piece in _PIECE.finditer(text):
            name = piece[1]
            if name in NAMES:
                yield name, piece[0] == text
            elif piece[0] not in ("{{", "}}"):
                known = ", ".join(f"{{{known}}}" for known in NAMES)
                raise ValueError(f"{piece[0]} is no placeholder: write one of {known}, or {{{{ and }}}} for braces")


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """The value with its placeholders replaced; a text that is nothing but one becomes the value itself."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        return values[whole[1]] if whole else _text(value, values)
    if isinstance(value, dict):
        return {_text(key, values): filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values) for inner in value]
    return value


def filled_path(text: str, values: Mapping[str, Any]) -> str:
    """A path with its placeholders replaced by values that cannot lead out of their segment."""
    return _text(text, {name: quote(str(value), safe=_PATH_SAFE) for name, value in values.items()})


def _text(text: str, values: Mapping[str, Any]) -> str:
    return _PIECE.sub(lambda piece: piece[0][0] if piece[1] is None else str(values[piece[1]]), text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
