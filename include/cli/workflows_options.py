"""The options that describe a workflow, the same for adding one and for editing it, and the columns they become."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from include.cli.retry_options import RetryOptions
from include.times import parse_duration, parse_instant, parse_past

NameOrId = Annotated[str, typer.Argument(metavar="NAME|ID", help="The workflow's name, or its id (all digits).")]

_WHEN, _WHAT, _HOW = "When", "What", "How"
_PLAIN = ("owner", "on_error", "batch_size")
_DURATIONS = ("every", "timeout")
_CLEAR = "none"


def _option(panel: str, name: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, metavar=metavar, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(RetryOptions):
    """What was written on the command line; None, or an empty list, where nothing was."""

    every: Annotated[
        str | None, _option(_WHEN, "--every", "How often it looks for new records: 30s if not given; 5s, 1m30s, 2h.")
    ] = None
    started_at: Annotated[
        str | None,
        _option(_WHEN, "--started-at", "When it begins: ISO 8601 (UTC if no offset), or +10m; now if not given."),
    ] = None
    start_from: Annotated[
        str | None,
        _option(
            _WHEN,
            "--start-from",
            "Which records it begins with: those to come from `now` on, from the `beginning`, or since an instant: "
            "ISO 8601, or -2h.",
            "now|beginning|TIME",
        ),
    ] = None
    filter: Annotated[
        str | None,
        _option(
            _WHAT, "--filter", """Only records that fit, such as '$.state == "open"'; `none` clears it.""", "JSONPATH"
        ),
    ] = None
    payload: Annotated[
        str | None,
        _option(_WHAT, "--payload", "All settings of the kind, as a JSON object; texts are templates.", "JSON"),
    ] = None
    payload_file: Annotated[
        str | None, _option(_WHAT, "--payload-file", "The same from a file; `-` is standard input.", "FILE")
    ] = None
    assignments: Annotated[
        list[str] | None,
        _option(_WHAT, "--set", "One setting (again for more): JSON, or else text; a.b leads into a.", "KEY=VALUE"),
    ] = None
    owner: Annotated[
        str | None, _option(_HOW, "--owner", "Whose it is: a user's name in Airflow; admin if not given.", "OWNER")
    ] = None
    on_error: Annotated[
        Literal["quarantine", "stop", "skip"] | None,
        _option(
            _HOW, "--on-error", "A record that fails for good: put it aside as a dead letter, stop at it, or go on."
        ),
    ] = None
    batch_size: Annotated[
        int | None, _option(_HOW, "--batch-size", "How many records one call gets: 1 if not given.")
    ] = None
    timeout: Annotated[str | None, _option(_HOW, "--timeout", "The longest that one attempt may take.")] = None
    active: Annotated[bool | None, _option(_HOW, "--active/--inactive", "Whether it is on duty, or paused.")] = None

    def columns(self, now: datetime) -> dict[str, Any]:
        """The columns that were given, but for the payload."""
        given = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        for name in _DURATIONS:
            if (text := getattr(self, name)) is not None:
                given[name] = parse_duration(text, "--" + name.replace("_", "-"))
        given |= self.retry_columns()
        if self.started_at is not None:
            given["started_at"] = parse_instant(self.started_at, "--started-at", zone="UTC", now=now)
        if self.start_from is not None:
            known = self.start_from in ("now", "beginning")
            given["start_from"] = (
                self.start_from if known else parse_past(self.start_from, "--start-from", now).isoformat()
            )
        if self.filter is not None:
            given["filter"] = None if self.filter.strip().lower() == _CLEAR else self.filter
        if self.active is not None:
            given["is_active"] = self.active
        return given
