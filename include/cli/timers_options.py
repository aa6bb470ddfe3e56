"""The options that describe a timer, and the columns that they become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from include.cli.payload import read_text
from include.cli.retry_options import RetryOptions
from include.errors import ConfigError
from include.times import parse_duration, parse_instant

Ids = Annotated[list[int], typer.Argument(metavar="ID", min=0, help="Timers, by their ids.")]

_WHEN, _WHAT, _HOW = "When", "What", "How"
_PLAIN = ("method", "owner", "conn_id", "delivery")
_PARTS = ("hours", "minutes", "seconds")


def _when(*names: str, help: str, metavar: str | None = None, min: int | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel=_WHEN, show_default=False)


def _what(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_WHAT, show_default=False)


def _how(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_HOW, show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(RetryOptions):
    """What was written on the command line; None where nothing was."""

    in_: Annotated[str | None, _when("--in", help="From now: 90s, 1h30m, 2d, 00:05:00.")] = None
    at: Annotated[str | None, _when("--at", metavar="INSTANT", help="ISO 8601 (UTC if no offset), or +10m.")] = None
    hours: Annotated[int | None, _when("--hours", min=0, help="From now; together with the next two.")] = None
    minutes: Annotated[int | None, _when("--minutes", min=0, help="From now.")] = None
    seconds: Annotated[int | None, _when("--seconds", min=0, help="From now.")] = None
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None, _what("--method", help="POST if not given.")
    ] = None
    headers: Annotated[
        list[str] | None, _what("--header", metavar="NAME=VALUE", help="A header to send (again for more).")
    ] = None
    body: Annotated[
        str | None,
        _what("--body", metavar="JSON|TEXT", help="What to send: a JSON object or list, or else a text as it is."),
    ] = None
    body_file: Annotated[
        str | None, _what("--body-file", metavar="FILE", help="The same from a file; `-` is standard input.")
    ] = None
    conn_id: Annotated[
        str | None, _what("--conn-id", metavar="ID", help="The Airflow connection whose secret signs the call.")
    ] = None
    owner: Annotated[str | None, _how("--owner", help="Who it belongs to; admin if not given.")] = None
    timeout: Annotated[str | None, _how("--timeout", help="The longest that one attempt may take.")] = None
    delivery: Annotated[
        Literal["at_least_once", "at_most_once"] | None, _how("--delivery", help="After a crash: send again, or not.")
    ] = None

    def columns(self, now: datetime) -> dict[str, Any]:
        """The columns that were given; `ConfigError` if they do not say, once, when it is due."""
        given = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        given |= self.retry_columns()
        if self.timeout is not None:
            given["timeout"] = parse_duration(self.timeout, "--timeout")
        if self.headers:
            given["headers"] = dict(map(_header, self.headers))
        body = _written(self.body, self.body_file)
        if body is not None:
            given["body"] = _body(body)
        return {**given, **self._when(now)}

    def _when(self, now: datetime) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}
        if sum(map(bool, (self.in_ is not None, self.at is not None, parts))) != 1:
            raise ConfigError(
                "write when it is due: --in 1h30m, or --at, or --hours, --minutes and --seconds; one of them"
            )
        if parts:
            _check_to_come(any(parts.values()), "--hours, --minutes and --seconds")
            return parts
        if self.at is not None:
            due = parse_instant(self.at, "--at", zone="UTC", now=now)
            _check_to_come(due > now, "--at")
            return {"due_at": due}
        length = parse_duration(self.in_ or "", "--in")
        _check_to_come(length > timedelta(0), "--in")
        try:
            return {"due_at": now + length}
        except OverflowError as error:
            raise ConfigError(f"--in: {self.in_!r} is longer than any duration that makes sense here") from error


def _check_to_come(holds: bool, what: str) -> None:
    if not holds:
        raise ConfigError(f"{what}: not in the future; write a time to come, such as --in 10m")


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--header {name!r}: write NAME=VALUE")
    return name.strip(), value.strip()


def _written(body: str | None, body_file: str | None) -> str | None:
    if body is not None and body_file is not None:
        raise ConfigError("--body and --body-file are both given; keep one of them")
    return body if body_file is None else read_text(body_file, f"--body-file {body_file}")


def _body(text: str) -> Any:
    """JSON that is an object or a list as such; everything else as the text that it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (dict, list)) else text
