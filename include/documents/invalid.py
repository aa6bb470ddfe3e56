"""What is wrong with a document, place by place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from include.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

# As pydantic says it of our own validators: its prefix adds nothing for whoever has written the document.
_PREFIX = "Value error, "
_OF_PYDANTIC = re.compile(r"[\[(]|^constrained-")
_OBJECT = "write a JSON object"
_INSTANT = "write an instant with its offset, such as 2026-11-21T09:00:00Z; in a query, `+` means a blank"
_IN_OUR_WORDS = {
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "dict_type": _OBJECT,
    "datetime_type": _INSTANT,
    "datetime_parsing": _INSTANT,
    "datetime_from_date_parsing": _INSTANT,
    "timezone_aware": _INSTANT,
}


class InvalidDocumentError(ConfigError):
    """Fix the document: `problems` are places (such as `payload.url`), and what is wrong there."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {said}" if place else said for place, said in problems))
        self.problems = problems


def parse(model: type[M], value: Mapping[str, Any]) -> M:
    """The value as `model`; `InvalidDocumentError` if it is none."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidDocumentError(problems_of(error.errors(include_url=False, include_input=False))) from None


def problems_of(errors: Any) -> list[tuple[str, str]]:
    """Pydantic's errors as places and what is wrong there; a value is not repeated, for it may be a secret."""
    return [(_place(error["loc"]), _say(error)) for error in errors]


def _say(error: Mapping[str, Any]) -> str:
    """What to write, where pydantic says what the value is to Python."""
    if error["type"] in _IN_OUR_WORDS:
        return _IN_OUR_WORDS[error["type"]]
    return str(error["msg"]).removeprefix(_PREFIX)


def _place(path: tuple[int | str, ...]) -> str:
    """Where a problem is, as people write it: without the types that pydantic has tried there."""
    return ".".join(str(part) for part in path if not _OF_PYDANTIC.search(str(part)))
