"""A paged API on the loopback: what it answers is declared by each test, out of the parts that are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pydantic import JsonValue


@dataclass(frozen=True)
class Asked:
    """One request; `number` counts from 1 the requests of one run of one reader."""

    number: int
    path: str
    params: dict[str, str]
    body: Any
    origin: str


@dataclass(frozen=True)
class Answer:
    """What comes back: `body` as JSON, or bytes as they are."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Api = Callable[[Asked], Answer]
Pages = Sequence[JsonValue]


@dataclass(frozen=True)
class Spot:
    """A place in the pages of an API; past the last there are no rows."""

    index: int
    pages: Pages
    origin: str

    @property
    def rows(self) -> JsonValue:
        return self.pages[self.index] if self.index < len(self.pages) else []

    @property
    def next(self) -> int | None:
        return self.index + 1 if self.index + 1 < len(self.pages) else None


def rows(first: int, last: int, **more: JsonValue) -> list[Any]:
    return [{"id": number, **more} for number in range(first, last + 1)]


def here(spot: Spot) -> JsonValue:
    """In a template: the rows of the page."""
    return spot.rows


def after(text: str, end: JsonValue = None) -> Callable[[Spot], JsonValue]:
    """In a template: a reference to the next page, `{}` in it being its index; `end` on the last page."""
    return lambda spot: end if spot.next is None else text.format(spot.next, origin=spot.origin)


def more(spot: Spot) -> JsonValue:
    """In a template: whether there is another page."""
    return spot.next is not None


FIVE = (rows(1, 2), rows(3, 4), rows(5, 5))
FOUR = (rows(1, 2), rows(3, 4))
HOLE: Pages = (rows(1, 2), [], rows(3, 4))
ITEMS = {"items": here}


def numbered(name: str, base: int = 0, step: int = 1) -> Callable[[Asked], int]:
    """The index that a numeric parameter asks for: one of the query, or, with a slash before it, of the body."""
    return lambda asked: (int(_given(asked, name) or base) - base) // step


def token(name: str) -> Callable[[Asked], int]:
    """The index in a token such as `c2`; the first page is asked for without one."""
    return lambda asked: int((_given(asked, name) or "c0")[1:])


def _given(asked: Asked, name: str) -> Any:
    if not name.startswith("/"):
        return asked.params.get(name)
    return reduce(lambda inner, part: (inner or {}).get(part), name[1:].split("."), asked.body)


def paged(
    pages: Pages,
    place: Callable[[Asked], int],
    body: Any = here,
    headers: Mapping[str, Any] | None = None,
) -> Api:
    """An API that answers with a page: `body` and `headers` are templates, whose callables get its `Spot`."""

    def answer(asked: Asked) -> Answer:
        spot = Spot(place(asked), pages, asked.origin)
        named = {name: _filled(value, spot) for name, value in (headers or {}).items()}
        return Answer(_filled(body, spot), headers={name: value for name, value in named.items() if value is not None})

    return answer


def _filled(template: Any, spot: Spot) -> Any:
    if callable(template):
        return template(spot)
    return {name: _filled(value, spot) for name, value in template.items()} if isinstance(template, dict) else template


def always(body: Any, status: int = 200, **headers: str) -> Api:
    return lambda _asked: Answer(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def but(api: Api, exceptions: Mapping[int, Answer]) -> Api:
    """The same API, but for the requests with these numbers."""
    return lambda asked: exceptions[asked.number] if asked.number in exceptions else api(asked)


@dataclass(frozen=True)
class Case:
    """An endpoint's configuration, for both readers, and what the API does: one behaviour for each run.

    `base_url` is a path here: where the server listens is put before it. `gives` is how many records come out of dlt in
    all runs, so that agreeing on nothing is not taken for agreeing.
    """

    name: str
    config: Mapping[str, Any]
    api: Api | tuple[Api, ...]
    gives: int

    @property
    def runs(self) -> tuple[Api, ...]:
        return self.api if isinstance(self.api, tuple) else (self.api,)


def by_name(case: object) -> str:
    assert isinstance(case, Case)
    return case.name
