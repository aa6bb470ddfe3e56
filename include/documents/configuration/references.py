"""`${NAME}` in a text is the environment variable of whoever applies; `$${` is a literal `${`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


class Environment:
    """Puts variables in, and remembers which are `missing`, each with the first place that names it, and what is
    `unclear`: places where `${` is followed by no name."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.missing: dict[str, str] = {}
        self.unclear: list[str] = []

    def resolve(self, value: Any, place: str) -> Any:
        """The value with each reference in its texts replaced; what a variable holds is not looked at again."""
        return _each_text(value, lambda text: self._text(text, place))

    def _text(self, text: str, place: str) -> str:
        if "${" not in text:
            return text

        def put(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found[1]
            if name is None:
                self.unclear.append(place)
            elif name not in self._variables:
                self.missing.setdefault(name, place)
            else:
                return self._variables[name]
            return found[0]

        return _REFERENCE.sub(put, text)


def escape(value: Any) -> Any:
    """The value so that `resolve` gives it back."""
    return _each_text(value, lambda text: text.replace("${", "$${"))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_text(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_each_text(inner, change) for inner in value]
    return value
