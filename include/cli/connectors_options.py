"""What describes a connector: as options of the command line, and as keys of a YAML file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from include.cli import row_files
from include.cli.payload import parse_object
from include.errors import ConfigError
from include.times import parse_duration

NameOrId = Annotated[str, typer.Argument(metavar="NAME|ID", help="The connector's name, or its id (all digits).")]

_WHEN, _WHAT, _HOW = "When", "What", "How"
_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", re.ASCII)
_NONE = "none"


def parse_rate(text: Any, what: str) -> str:
    """`10/second`, `100/minute`, `5000/hour`, `20000/day`; `what` names the option in the error."""
    if not isinstance(text, str) or not _RATE.fullmatch(text.strip().lower()):
        raise ConfigError(f"{what}: {text!r} is not a rate; write 10/second, 100/minute, 5000/hour or 20000/day")
    return text.strip().lower()


def _when(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_WHEN, show_default=False)


def _what(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_WHAT, show_default=False)


def _how(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_HOW, show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was written on the command line; None where nothing was."""

    every: Annotated[str | None, _when("--every", help="How often to pull, from 1s: 30s, 5m, 1h; `none`: by hand.")] = (
        None
    )
    config: Annotated[
        str | None, _what("--config", metavar="JSON", help="All settings of the kind, as a JSON object.")
    ] = None
    config_file: Annotated[
        str | None, _what("--config-file", metavar="FILE", help="The same from a file; `-` is standard input.")
    ] = None
    assignments: Annotated[
        list[str] | None,
        _what("--set", metavar="KEY=VALUE", help="One setting (again for more): JSON, or else text; a.b leads into a."),
    ] = None
    owner: Annotated[str | None, _how("--owner", help="Who it belongs to; admin if not given.")] = None
    dedupe: Annotated[
        Literal["key", "content"] | None,
        _how("--dedupe", help="Store each key once, or (`content`) again when what it holds has changed."),
    ] = None
    rate_limit: Annotated[
        str | None, _how("--rate-limit", metavar="RATE", help="The most requests: 10/second, 100/minute; or `none`.")
    ] = None
    budget: Annotated[
        str | None, _how("--budget", metavar="NAME", help="A limit shared with other connectors; or `none`.")
    ] = None
    timeout: Annotated[str | None, _how("--timeout", help="The longest that one request may take.")] = None
    alert_after: Annotated[
        int | None, _how("--alert-after", help="After so many failures in a row it counts as failing.")
    ] = None
    notify: Annotated[
        str | None,
        _how("--notify", metavar="JSON", help='Then, and when it is well again: {"kind": …, "payload": …}; or `none`.'),
    ] = None
    active: Annotated[bool | None, _how("--active/--inactive", help="Whether it is on duty, or paused.")] = None

    def columns(self) -> dict[str, Any]:
        """The columns that were given, but for the config."""
        plain = {"owner": self.owner, "dedupe": self.dedupe, "alert_after": self.alert_after, "is_active": self.active}
        given: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
        if self.timeout is not None:
            given["timeout"] = parse_duration(self.timeout, "--timeout")
        for name, written, read in (
            ("every", self.every, parse_duration),
            ("rate_limit", self.rate_limit, parse_rate),
            ("budget", self.budget, row_files.text),
            ("notify", self.notify, parse_object),
        ):
            if written is not None:
                clear = written.strip().lower() == _NONE
                given[name] = None if clear else read(written, "--" + name.replace("_", "-"))
        return given


# The keys of a connector in a file, and how each is read.
FILE_COLUMNS: dict[str, row_files.Reader] = {
    "name": row_files.text,
    "kind": row_files.text,
    "every": row_files.duration,
    "config": row_files.mapping,
    "owner": row_files.text,
    "external_id": row_files.text,
    "dedupe": row_files.one_of("key", "content"),
    "rate_limit": parse_rate,
    "budget": row_files.text,
    "timeout": row_files.duration,
    "alert_after": row_files.whole_number,
    "notify": row_files.mapping,
    "is_active": row_files.flag,
}
