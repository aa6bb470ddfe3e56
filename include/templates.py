"""Settings with holes: texts in a payload are sandboxed Jinja templates, filled in for each record.

A text that is nothing but one expression, such as `{{ record.payload.amount }}`, becomes the value itself, of whatever
type; any other text stays a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from include.errors import ConfigError, PermanentError

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


class Template:
    """A payload whose texts are templates; `payload` is what was written. `ConfigError` names a text that is none."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = dict(payload)
        self._places: set[tuple[str | int, ...]] = set()
        self._tree = self._compiled(self.payload, ())

    def covers(self, place: Sequence[str | int]) -> bool:
        """Whether what is at `place` (keys and indexes from the top) depends on a template."""
        at = tuple(place)
        return any(hole[: len(at)] == at or at[: len(hole)] == hole for hole in self._places)

    def render(self, **names: Any) -> dict[str, Any]:
        """The payload with its holes filled; `PermanentError` says which text could not be, and why."""
        made: dict[str, Any] = self._tree(names)
        return made

    def _compiled(self, value: Any, place: tuple[str | int, ...]) -> Any:
        if isinstance(value, Mapping):
            fields = {name: self._compiled(inner, (*place, name)) for name, inner in value.items()}
            return lambda names: {name: inner(names) for name, inner in fields.items()}
        if isinstance(value, list):
            items = [self._compiled(inner, (*place, number)) for number, inner in enumerate(value)]
            return lambda names: [inner(names) for inner in items]
        if not isinstance(value, str) or "{" not in value:
            return lambda _: value
        try:
            tree = _ENVIRONMENT.parse(value)
            self._places.add(place)
            alone = _only_expression(tree)
            if alone:
                expression = _ENVIRONMENT.compile_expression(value.strip()[2:-2].strip("-+ "), undefined_to_none=False)
                return lambda names: _filled(expression, names, place)
            template = _ENVIRONMENT.from_string(value)
        except TemplateError as error:
            raise ConfigError(f"{'.'.join(map(str, place))}: not a template: {error}") from error
        return lambda names: _filled(template.render, names, place)


def _only_expression(tree: nodes.Template) -> bool:
    return (
        len(tree.body) == 1
        and isinstance(tree.body[0], nodes.Output)
        and len(tree.body[0].nodes) == 1
        and not isinstance(tree.body[0].nodes[0], nodes.TemplateData)
    )


def _filled(fill: Any, names: Mapping[str, Any], place: tuple[str | int, ...]) -> Any:
    try:
        return fill(**names)
    except Exception as error:
        raise PermanentError(f"{'.'.join(map(str, place))}: {error}") from error
