"""Attempts as pages show them: a row each, and a line of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include.documents.attempt import lines_of

_WIDTH = 1000
_NARROWEST = 6
_FOREVER_MS = 1e15  # what takes longer is none of ours
_KNOWN = ("attempt", "at", "ms", "code", "error", "excerpt", "request", "revision", "audit_id")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; `request` is what it has sent, in lines, `rest` what else plain SQL may have put there.

    `audit_id` is the change that made the `revision` of the row that it was made from.
    """

    number: Any
    at: datetime | None
    seconds: float | None
    code: Any
    error: Any
    excerpt: Any
    request: list[str]
    revision: int | None
    audit_id: int | None
    rest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt on the line of time, whose width is 1000."""

    attempt: Attempt
    x: int
    width: int


def shown(attempts: Sequence[Any]) -> list[Attempt]:
    """The attempts of a document, each as it can be shown, whatever is in it."""
    return [_attempt(one, number) for number, one in enumerate(attempts, 1)]


def line_of_time(due: str, ended: str | None, attempts: Sequence[Attempt], now: datetime) -> list[Bar]:
    """Where the attempts lie between when it was due and when it had ended, or now."""
    spans = [(one, one.at, _end(one.at, one.seconds)) for one in attempts if one.at is not None]
    begin = min([moment(due), *(began for _, began, _ in spans)])
    end = max([moment(ended) if ended else now, *(over for _, _, over in spans)])
    whole = max(end - begin, timedelta(microseconds=1))
    return [Bar(one, *_place((began - begin) / whole, (over - began) / whole)) for one, began, over in spans]


def moment(written: str) -> datetime:
    """An instant of the API."""
    return datetime.fromisoformat(written.replace("Z", "+00:00"))


def _attempt(one: Any, number: int) -> Attempt:
    if not isinstance(one, Mapping):
        return Attempt(number, None, None, None, None, None, [], None, None, {"attempt": one})
    rest = dict(one)
    known = {name: rest.pop(name, None) for name in _KNOWN}
    for name, kind in (("request", Mapping), ("revision", int), ("audit_id", int)):
        if known[name] is not None and not isinstance(known[name], kind):
            rest[name], known[name] = known[name], None
    is_timed = isinstance(known["ms"], int | float) and abs(known["ms"]) < _FOREVER_MS
    return Attempt(
        number=known["attempt"] or number,
        at=_instant(known["at"]),
        seconds=known["ms"] / 1000 if is_timed else None,
        code=known["code"],
        error=known["error"],
        excerpt=known["excerpt"],
        request=lines_of(known["request"]),
        revision=known["revision"],
        audit_id=known["audit_id"],
        rest=rest,
    )


def _instant(written: Any) -> datetime | None:
    try:
        found = moment(written) if isinstance(written, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _end(began: datetime, seconds: float | None) -> datetime:
    try:
        return began + timedelta(seconds=seconds or 0)
    except OverflowError:
        return began


def _place(start: float, share: float) -> tuple[int, int]:
    """From where, and how wide; nothing is too narrow to be seen."""
    width = min(max(int(share * _WIDTH), _NARROWEST), _WIDTH)
    return min(int(start * _WIDTH), _WIDTH - width), width
