"""The HTML files, and how values look in them. Everything is escaped; a name that is not there is an error."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from include.documents.attempt import lines_of
from include.times import spell_duration

_FOLDER = Path(__file__).parent / "html"
_LEAST_SPELT = 1.0
_MOST_TENTHS = 10.0
_LONGEST = 50_000
_CUT = "… and so on: the rest is not shown."
_MARKED = re.compile("`([^`]+)`")
_JSON = json.JSONEncoder(indent=2, ensure_ascii=False)


def template(name: str) -> Template:
    """The HTML file of that name."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    found.filters |= {"duration": duration, "instant": instant, "number": number, "pretty": excerpt, "clock": clock}
    found.filters |= {"sent": sent, "marked": marked}
    return found


def duration(seconds: float | None) -> str:
    """Seconds as people read them: `85 ms`, `2.4 s`, `1m30s`; a dash for None."""
    if seconds is None:
        return "–"
    if abs(seconds) < _LEAST_SPELT:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < _MOST_TENTHS:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    return spell_duration(timedelta(seconds=round(seconds)))


def instant(written: str | datetime | None) -> str:
    """An instant of the API in UTC, to the second: `2026-11-21 09:00:00`; a dash for None."""
    return "–" if written is None else f"{_read(written):%Y-%m-%d %H:%M:%S}"


def clock(written: str | datetime | None) -> str:
    """The same with its milliseconds, without the day: `09:00:00.012`."""
    return "–" if written is None else _read(written).strftime("%H:%M:%S.%f")[:-3]


def sent(request: Any) -> str:
    """What an attempt has sent, in lines."""
    return "\n".join(lines_of(request))


def marked(text: str) -> Markup:
    """A text with what stands between backticks, such as a command, as code."""
    return Markup(_MARKED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - all of it is escaped before


def number(value: float | None) -> str:
    """A count, with thin spaces between thousands; a dash for None."""
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def pretty(value: Any) -> str:
    """JSON as people read it, a text as it is."""
    return value if isinstance(value, str) else _JSON.encode(value)


def excerpt(value: Any) -> str:
    """As `pretty`, as far as anybody reads: writing all that is longer would keep everybody else waiting."""
    text = value if isinstance(value, str) else ""
    for part in () if isinstance(value, str) else _JSON.iterencode(value):
        text += part
        if len(text) > _LONGEST:
            break
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n{_CUT}"


def _read(written: str | datetime) -> datetime:
    found = datetime.fromisoformat(written.replace("Z", "+00:00")) if isinstance(written, str) else written
    return found.astimezone(timezone.utc)
