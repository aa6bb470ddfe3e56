"""`${NAME}` in a text is the environment variable of whoever applies; `$${` is a literal `${`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from include.documents.configuration.yaml_read import Keys

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")


class Environment:
    """Puts variables in, and remembers which are `missing`, each with the first place that names it, and what is
    `unclear`: places where `${` is followed by no name."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.missing: dict[str, str] = {}
        self.unclear: list[str] = []

    def resolve(self, value: Any, place: Callable[[Keys], str], keys: Keys = ()) -> Any:
        """The value with each reference in its texts replaced; what a variable holds is not looked at again.

        `place` says where in the file is what these keys lead to.
        """
        if isinstance(value, str):
            return self._text(value, place, keys)
        if isinstance(value, dict):
            return {name: self.resolve(inner, place, (*keys, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner, place, (*keys, str(number))) for number, inner in enumerate(value)]
        return value

    def _text(self, text: str, place: Callable[[Keys], str], keys: Keys) -> str:
        if "${" not in text:
            return text

        def put(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found[1]
            if name is None:
                self.unclear.append(place(keys))
            elif name not in self._variables:
                self.missing.setdefault(name, place(keys))
            else:
                return self._variables[name]
            return found[0]

        return _REFERENCE.sub(put, text)


def escape(value: Any) -> Any:
    """The value so that `resolve` gives its texts back."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {name: escape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [escape(inner) for inner in value]
    return value
