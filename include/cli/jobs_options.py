"""The options that describe a job, the same for adding one and for editing it, and the columns that they become."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from datetime import datetime
from functools import wraps
from typing import Annotated, Any, Literal, get_type_hints

import typer

from include.cli.payload import parse_object
from include.cli.retry_options import RetryOptions
from include.errors import ConfigError
from include.times import parse_duration, parse_instant

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.")]
NameOrId = Annotated[str, typer.Argument(metavar="NAME|ID", help="The job's name, or its id (all digits).")]
NamesOrIds = Annotated[list[str], typer.Argument(metavar="NAME|ID", help="Names, or ids (all digits).")]

_PANELS = _WHEN, _WHAT, _HOW = "When", "What", "How"
_SCHEDULE = ("cron", "every", "run_at")
_PLAIN = ("owner", "timezone", "overlap", "misfire", "delivery", "half_open")
_DURATIONS = ("jitter", "max_lateness", "timeout", "probe_every")
_INSTANTS = ("starts_at", "ends_at")
_CLEAR = "none"


def _when(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_WHEN, show_default=False)


def _what(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_WHAT, show_default=False)


def _how(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_HOW, show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(RetryOptions):
    """What was written on the command line; None, or an empty list, where nothing was."""

    cron: Annotated[
        str | None, _when("--cron", help="5 fields, 6 with seconds first, or @daily and the like, in --timezone.")
    ] = None
    every: Annotated[str | None, _when("--every", help="A fixed rate from 1s: 5s, 90s, 1m30s, 2h, 1d, 00:05:00.")] = (
        None
    )
    fixed_delay: Annotated[
        bool | None,
        _when(
            "--fixed-delay/--fixed-rate", help="Count --every from the end of the last execution, or from due to due."
        ),
    ] = None
    run_at: Annotated[
        str | None,
        _when("--run-at", help="Once: ISO 8601, on the clock of --timezone if it has no offset; or +10m, from now."),
    ] = None
    timezone: Annotated[
        str | None, _when("--timezone", help="Such as Europe/Berlin; UTC if not given. For --cron and plain times.")
    ] = None
    starts_at: Annotated[str | None, _when("--starts-at", help="Not due before; as --run-at, `none` clears it.")] = None
    ends_at: Annotated[str | None, _when("--ends-at", help="Not due from then on; as --run-at, `none` clears it.")] = (
        None
    )
    jitter: Annotated[str | None, _when("--jitter", help="Fire up to this much later, spread by chance.")] = None
    payload: Annotated[
        str | None, _what("--payload", metavar="JSON", help="All settings of the kind, as a JSON object.")
    ] = None
    payload_file: Annotated[
        str | None, _what("--payload-file", metavar="FILE", help="The same from a file; `-` is standard input.")
    ] = None
    assignments: Annotated[
        list[str] | None,
        _what("--set", metavar="KEY=VALUE", help="One setting (again for more): JSON, or else text; a.b leads into a."),
    ] = None
    owner: Annotated[str | None, _how("--owner", help="Who it belongs to; admin if not given.")] = None
    overlap: Annotated[
        Literal["skip", "queue", "allow"] | None, _how("--overlap", help="If the one before is still running.")
    ] = None
    misfire: Annotated[
        Literal["skip", "latest", "all"] | None, _how("--misfire", help="Which to make up for after a downtime.")
    ] = None
    max_lateness: Annotated[str | None, _how("--max-lateness", help="What is later than this is missed.")] = None
    timeout: Annotated[str | None, _how("--timeout", help="The longest that one attempt may take.")] = None
    delivery: Annotated[
        Literal["at_least_once", "at_most_once"] | None, _how("--delivery", help="After a crash: send again, or not.")
    ] = None
    disable_after: Annotated[
        str | None, _how("--disable-after", help="Pause it after so many failures in a row; `none`: never.")
    ] = None
    half_open: Annotated[
        bool | None,
        _how("--half-open/--no-half-open", help="Once disabled, probe it, and go on when a probe succeeds."),
    ] = None
    probe_every: Annotated[str | None, _how("--probe-every", help="How often it is probed: 5m if not given.")] = None
    notify: Annotated[
        str | None,
        _how("--notify", help='Whom to tell: {"kind", "payload", "on", "after"} as JSON; `none`: as for the owner.'),
    ] = None
    active: Annotated[bool | None, _how("--active/--inactive", help="Whether it is on duty, or paused.")] = None

    def columns(self, *, zone: str, now: datetime) -> dict[str, Any]:
        """The columns that were given, but for the payload; times without an offset are on the clock of `zone`.

        A schedule replaces the one before it as a whole.
        """
        given = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        zone = given.get("timezone", zone)
        for name in _DURATIONS:
            if (text := getattr(self, name)) is not None:
                given[name] = parse_duration(text, _option(name))
        for name in _INSTANTS:
            if (text := getattr(self, name)) is not None:
                clear = text.strip().lower() == _CLEAR
                given[name] = None if clear else parse_instant(text, _option(name), zone=zone, now=now)
        if self.active is not None:
            given["is_active"] = self.active
        if self.disable_after is not None:
            given["disable_after"] = _number(self.disable_after, "--disable-after")
        if self.notify is not None:
            clear = self.notify.strip().lower() == _CLEAR
            given["notify"] = None if clear else parse_object(self.notify, "--notify")
        schedule = self._schedule(zone, now)
        if self.fixed_delay is not None:
            schedule["every_mode"] = "fixed_delay" if self.fixed_delay else "fixed_rate"
        return {**given, **self.retry_columns(), **schedule}

    def _schedule(self, zone: str, now: datetime) -> dict[str, Any]:
        written = [name for name in _SCHEDULE if getattr(self, name) is not None]
        if len(written) > 1:
            raise ConfigError(f"{' and '.join(map(_option, written))} are given together; keep one of them")
        if self.cron is not None:
            return {**NO_SCHEDULE, "cron": self.cron}
        if self.every is not None:
            return {**NO_SCHEDULE, "every": parse_duration(self.every, "--every")}
        if self.run_at is not None:
            run_at = parse_instant(self.run_at, "--run-at", zone=zone, now=now)
            if run_at <= now:
                raise ConfigError("--run-at: not in the future; write a time to come")
            return {**NO_SCHEDULE, "run_at": run_at}
        return {}


NO_SCHEDULE: dict[str, Any] = {**dict.fromkeys(_SCHEDULE), "every_mode": "fixed_rate"}


def taking_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every field of a dataclass as an option: the class is the annotation of its `options`.

    It gets them together, as that argument.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    made_of = parameters["options"].annotation
    hints = get_type_hints(made_of, include_extras=True)

    @wraps(command)
    def taking(**values: Any) -> None:
        options = made_of(**{field.name: values.pop(field.name) for field in fields(made_of)})
        command(options=options, **values)

    own = [parameter for name, parameter in parameters.items() if name != "options"]
    described = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=_default(f), annotation=hints[f.name])
        for f in fields(made_of)
    ]
    # A place of its own for the signature, which is what typer reads.
    taking.__signature__ = inspect.Signature([*own, *sorted(described, key=_panel)])  # type: ignore[attr-defined]
    return taking


def _panel(parameter: inspect.Parameter) -> int:
    """Where an option's panel is in the help: what is inherited comes first in a dataclass, and would there."""
    [option] = parameter.annotation.__metadata__
    return _PANELS.index(option.rich_help_panel)


def _number(text: str, what: str) -> int | None:
    if text.strip().lower() == _CLEAR:
        return None
    if not text.strip().isascii() or not text.strip().isdigit():
        raise ConfigError(f"{what}: {text!r} is not a number; write one, or none")
    return int(text)


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
