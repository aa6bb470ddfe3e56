"""What is wrong with a document, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from include.errors import ConfigError

M = TypeVar("M", bound=BaseModel)

# As pydantic says it of our own validators: its prefix adds nothing for whoever has written the document.
_PREFIX = "Value error, "


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
    return [(_place(error["loc"]), str(error["msg"]).removeprefix(_PREFIX)) for error in errors]


def _place(path: tuple[int | str, ...]) -> str:
    """Where a problem is, as people write it: without the types that pydantic has tried there."""
    return ".".join(str(part) for part in path if "[" not in str(part) and "(" not in str(part))
