"""What a form of a page has sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from include.errors import RefusedError

_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 5_000


class Form(Mapping[str, str]):
    """The fields of a form, by name: each as it comes last; `of` has all values of a name."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def of(self, name: str) -> list[str]:
        """All values of a name: of boxes that are ticked, for example."""
        return self._fields.get(name, [])

    def text(self, name: str) -> str | None:
        """The value without blanks around it; None if the field is not there, or empty."""
        return self.get(name, "").strip() or None


async def _form(request: Request) -> Form:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise RefusedError(415, f"write a form: {_TYPE}")
    try:
        text = (await request.body()).decode()
        return Form(parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise RefusedError(400, f"it cannot be read as a form: {error}") from None


SentForm = Annotated[Form, Depends(_form)]
