"""All that is wrong with a document at once: with its settings, and with those of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from include.documents.invalid import problems_of
from include.errors import ConfigError, MisfitError

_NAMES = ("name", "connector")  # nothing else depends on them

Faults = list[tuple[str, str]]
Judge = Callable[[Mapping[str, Any], None], None]


def faults(settings: type[BaseModel], document: Mapping[str, Any], judge: Judge | None = None) -> Faults:
    """The places in a document that can be told to be wrong by itself, and what is wrong there.

    Where a setting is wrong, `judge` gets a row with the default instead: so that it can tell what else is.
    """
    found, mended = _of_settings(settings, document)
    if mended is None or judge is None:
        return found
    try:
        judge(mended.model_dump(round_trip=True), None)
    except MisfitError as error:
        return found + error.problems
    except ConfigError as error:
        return [*found, ("", str(error))]
    return found


def _of_settings(settings: type[BaseModel], document: Mapping[str, Any]) -> tuple[Faults, BaseModel | None]:
    """What is wrong with the settings, and what they are without that; None if too much of them is."""
    try:
        return [], settings.model_validate(document)
    except ValidationError as error:
        found = problems_of(error.errors(include_url=False, include_input=False))
    wrong = {place.partition(".")[0] for place, _ in found}
    left = {name: value for name, value in document.items() if name not in wrong}
    standing_in = {name: "unnamed" for name in _NAMES if name in settings.model_fields}
    try:
        return found, settings.model_validate(standing_in | left)
    except ValidationError:
        return found, None
