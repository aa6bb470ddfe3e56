"""What is new: the greatest value of a field so far, and what that makes the next pull begin with.

A pull begins with the last value itself, so that a record which shares it is never missed; those that come twice are
stored once. A record that has no value, or one that cannot be compared, is kept and moves nothing.

Values compare as what they are: numbers (or digits in a text) as numbers, ISO 8601 dates and times as instants (UTC
where there is no zone), other texts as texts. What they are is decided by the value that the pull begins with, or else
by the first one that the source gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from include import model
from include.connectors._paths import JsonPath, path
from include.connectors._rest_fields import CursorValue, Name
from include.errors import ConfigError, PermanentError

_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<between>[T ])(?P<hour>\d\d)"
    r"(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:(?P<point>[.,])(?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_LONGEST_NUMBER = 19  # digits; a longer text of digits is an identifier that happens to have no letters


class Incremental(model.Config):
    """Pull only what is new."""

    cursor_path: JsonPath = Field(description="The field of each record that grows, such as updated_at.")
    initial_value: CursorValue | None = Field(default=None, description="What the first pull begins with.")
    end_value: CursorValue | None = Field(
        default=None, description="Leave out what is not below this; every pull begins with initial_value then."
    )
    start_param: Name | None = Field(default=None, description="The parameter that takes the value to begin with.")
    end_param: Name | None = Field(default=None, description="The parameter that takes end_value.")
    lag: FiniteFloat | None = Field(
        default=None, ge=0, description="Begin so much earlier: seconds for times, days for dates, else a number."
    )
    row_order: Literal["asc", "desc"] | None = Field(
        default=None,
        description="How the source orders records, if it does: a pull stops where nothing can follow.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Incremental:
        if self.end_value is None:
            return self
        if self.initial_value is None:
            raise ValueError("write initial_value too, where there is an end_value")
        measure = _measure_like(self.end_value)
        begin, end = measure(self.initial_value), measure(self.end_value)
        if begin is None:
            raise ValueError("write initial_value and end_value alike: two numbers, two times or two texts")
        if begin > end:
            raise ValueError("write an end_value that is not below initial_value")
        return self

    def start(self, last: CursorValue | None) -> CursorValue | None:
        """The value to begin with, where `last` is the greatest that the pulls before have seen."""
        if last is None or self.end_value is not None:
            return self.initial_value
        if not self.lag:
            return last
        begin = _earlier(last, self.lag, self.initial_value)
        if self.initial_value is not None:
            measure = _measure_like(self.initial_value)
            lower, lowest = measure(begin), measure(self.initial_value)
            if lower is not None and lower < lowest:
                return self.initial_value
        return begin


@dataclass(frozen=True, slots=True)
class Sieve:
    """What one pull takes: what is neither below `start` nor at or above the end."""

    config: Incremental
    start: CursorValue | None

    def sift(self, rows: Sequence[Any], last: CursorValue | None) -> tuple[Sequence[Any], CursorValue | None, bool]:
        """Return the rows to keep, the greatest value so far, and whether, in their order, all that follow are out."""
        config = self.config
        values = path(config.cursor_path).column(rows)
        given = (value for value in (self.start, config.end_value, last, *values) if value is not None)
        measure = next((_measure_like(value) for value in given if _is_usable(value)), _number)
        marks = [measure(value) for value in values]
        usable = [mark for mark in marks if mark is not None]
        if not usable:
            if any(value is not None for value in values):
                raise PermanentError(
                    f"incremental: no value at {config.cursor_path} compares with the one to begin with; "
                    "write an initial_value of the source's own form"
                )
            return rows, last, False
        past = False
        lowest, end = measure(self.start), measure(config.end_value)
        greatest, known = max(usable), measure(last)
        if known is None or greatest > known:
            last = values[marks.index(greatest)]
        if lowest is not None and min(usable) < lowest:
            past = config.row_order == "desc"
            rows = [row for row, mark in zip(rows, marks, strict=True) if mark is None or mark >= lowest]
            marks = [mark for mark in marks if mark is None or mark >= lowest]
        if end is not None and greatest >= end:
            past = past or config.row_order == "asc"
            rows = [row for row, mark in zip(rows, marks, strict=True) if mark is None or mark < end]
        return rows, last, past


def _is_usable(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _measure_like(value: CursorValue) -> Callable[[Any], Any]:
    """How to measure values such as this one; what cannot be measured so is None."""
    if _number(value) is not None:
        return _number
    return _instant if _ISO.fullmatch(str(value)) and _instant(value) is not None else _text


def _number(value: Any) -> int | float | None:
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is float:
        return float(value) if math.isfinite(value) else None
    if kind is str and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    return None


def _instant(value: Any) -> datetime | None:
    if type(value) is not str:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        match = _ISO.fullmatch(value)  # Python 3.10 reads only what it writes itself
        if match is None:
            return None
        try:
            at = datetime.fromisoformat(_as_python_writes(match))
        except ValueError:
            return None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _as_python_writes(match: re.Match[str]) -> str:
    clock = f"{match['hour'] or '00'}:{match['minute'] or '00'}:{match['second'] or '00'}"
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    zone = (match["zone"] or "").replace("Z", "+00:00").replace(":", "")
    return f"{match['date']}T{clock}.{fraction}" + (f"{zone[:3]}:{zone[3:] or '00'}" if zone else "")


def _earlier(value: CursorValue, lag: float, initial: CursorValue | None) -> CursorValue:
    """The value less the lag, in the same form; in days if the initial value, or without one this, is a date."""
    number = _number(value)
    if number is not None:
        lower = int(number - lag) if isinstance(number, int) else number - lag
        return str(lower) if isinstance(value, str) else lower
    match, at = _ISO.fullmatch(str(value)), _instant(value)
    if match is None or at is None:
        raise ConfigError("incremental: a lag needs numbers, dates or times at cursor_path; leave lag out")
    meant = _ISO.fullmatch(str(initial)) or match
    try:
        if match["hour"] is None:
            unit = timedelta(days=-lag) if meant["hour"] is None else timedelta(seconds=-lag)
            day = at.date() + unit if meant["hour"] is None else (at + unit).date()
            return day.isoformat()
        return _written(_day_before(at, lag) if meant["hour"] is None else at - timedelta(seconds=lag), match)
    except OverflowError:
        raise ConfigError("incremental: lag leads to before the year 1; write a smaller one") from None


def _day_before(at: datetime, lag: float) -> datetime:
    day: date = at.astimezone(timezone.utc).date() + timedelta(days=-lag)
    return datetime.combine(day, time.min, timezone.utc).astimezone(at.tzinfo)


def _written(at: datetime, like: re.Match[str]) -> str:
    text = f"{at.date().isoformat()}{like['between']}{at:%H}"
    if like["minute"] is not None:
        text += f":{at:%M}"
    if like["second"] is not None:
        text += f":{at:%S}"
    if like["fraction"] is not None:
        digits = len(like["fraction"])
        text += like["point"] + f"{at.microsecond:06d}"[:digits].ljust(digits, "0")
    return text + (like["zone"] or "")
