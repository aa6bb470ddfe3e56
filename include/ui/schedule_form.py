"""The part of a form that says when a row is due: at an interval, daily, weekly, by cron, once, or by hand.

Each is one of the settings `every`, `cron` and `run_at`; daily and weekly are cron expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from include.errors import ConfigError
from include.time_zones import zone_named, zone_names
from include.ui import wall_time
from include.ui.api import ProblemError
from include.ui.form import Form

MODES = {
    "every": "At an interval",
    "daily": "Daily",
    "weekly": "Weekly",
    "cron": "Cron expression",
    "once": "Once",
    "by_hand": "Only by hand",
}
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
DAYS = {"1": "Monday", "2": "Tuesday", "3": "Wednesday", "4": "Thursday", "5": "Friday", "6": "Saturday", "0": "Sunday"}
LABELS = {
    "every": "Every",
    "daily_at": "Every day at",
    "weekly_at": "At",
    "weekly_on": "On",
    "cron": "Cron expression",
    "run_at": "Once at",
    "timezone": "Time zone",
    "starts_at": "Not before",
    "ends_at": "Only before",
}
_WALLS = ("run_at", "starts_at", "ends_at")
_NEW = {"every": 300, "timezone": "UTC"}
_STANDING_IN = 86400.0
_FIRST_AT, _FIRST_DAYS = "09:00", ("1",)
_NUMBER = re.compile(r"\d{1,10}(?:\.\d{1,6})?", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::00(?:\.0+)?)?", re.ASCII)
_AT_AND_DAYS = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\S+)", re.ASCII)


class _WrongError(Exception):
    def __init__(self, place: str, said: str) -> None:
        super().__init__(said)
        self.place, self.said = place, said


def shown(
    document: Mapping[str, Any] | None,
    form: Form | None,
    errors: Mapping[str, str],
    *,
    modes: Sequence[str] = tuple(MODES),
) -> dict[str, Any]:
    """What `schedule.html` draws (as its `schedule`): a form that came back, or a row's document, or a new row.

    `errors` says by place, such as `every` or `starts_at`, what is wrong. With one of the `modes` only, there
    is no choice, and neither a time zone nor when it begins and ends.
    """
    row: Mapping[str, Any] = _NEW if document is None else document
    typed = _stored(row, modes) if form is None else _typed(form)
    zone = str(typed["timezone"])
    instants = {name: wall_time.shown(name, row.get(name), zone, form) for name in _WALLS}
    beside = dict(errors)
    if typed["mode"] in ("daily", "weekly") and "cron" in beside:
        beside.setdefault(f"{typed['mode']}_at", beside.pop("cron"))
    return {
        **typed,
        **instants,
        "modes": {mode: MODES[mode] for mode in modes},
        "units": tuple(UNITS),
        "days": DAYS,
        "zones": zones(),
        "errors": beside,
        "has_window": len(modes) > 1,
    }


def sent(form: Form) -> dict[str, Any]:
    """The settings cron, every, run_at, timezone, starts_at and ends_at, as the API takes them.

    `ProblemError` (422) says at which places something cannot be read; the rest is for the API to judge. Its document
    has a schedule that is good for anything, so that nothing else is wrong for want of one.
    """
    found: dict[str, Any] = dict.fromkeys(("cron", "every", "run_at", "starts_at", "ends_at"))
    found["timezone"] = form.get("timezone", "UTC").strip()
    problems: list[tuple[str, str]] = []
    read = _READ.get(form.get("schedule", ""))
    parts: list[Callable[[Form], dict[str, Any]]] = [_zone, _window]
    if read is None:
        problems.append(("schedule", "choose when it is due"))
    else:
        parts.insert(0, read)
    for part in parts:
        try:
            found |= part(form)
        except _WrongError as error:
            problems.append((error.place, error.said))
    if problems:
        said = "; ".join(f"{LABELS.get(at, at)}: {what}" for at, what in problems)
        raise ProblemError(422, said, problems, {**found, "cron": None, "run_at": None, "every": _STANDING_IN})
    return found


def walls(form: Form) -> list[wall_time.WallTime]:
    """The wall times that the form asks for, as they are filled in."""
    return [wall_time.shown(name, None, form.get("timezone", "UTC").strip(), form) for name in _WALLS if name in form]


@cache
def zones() -> tuple[str, ...]:
    """Zones to choose from; whatever else the database has can be written."""
    named = (zone for zone in zone_names() if "/" in zone and not zone.startswith(("Etc/", "SystemV/")))
    return ("UTC", *sorted(named))


def _stored(row: Mapping[str, Any], modes: Sequence[str]) -> dict[str, Any]:
    every, cron = row.get("every"), row.get("cron")
    at, days = _at_and_days(cron or "")
    typed = {
        "mode": _mode(row, days, modes),
        "every": "5",
        "every_unit": "minutes",
        "daily_at": at or _FIRST_AT,
        "weekly_at": at or _FIRST_AT,
        "weekly_on": days or _FIRST_DAYS,
        "cron": cron or "",
        "timezone": row.get("timezone") or "UTC",
    }
    if every is not None:
        number = Decimal(str(every))
        unit = max(
            (unit for unit in UNITS if unit == "seconds" or number % UNITS[unit] == 0), key=lambda one: UNITS[one]
        )
        spelt = f"{number / UNITS[unit]:f}"
        typed |= {"every": spelt.rstrip("0").rstrip(".") if "." in spelt else spelt, "every_unit": unit}
    return typed


def _mode(row: Mapping[str, Any], days: Sequence[str], modes: Sequence[str]) -> str:
    if row.get("cron") is not None:
        guessed = "daily" if len(days) == len(DAYS) else "weekly" if days else "cron"
        return guessed if guessed in modes else "cron"
    if row.get("every") is not None:
        return "every"
    return "by_hand" if row.get("run_at") is None else "once"


def _typed(form: Form) -> dict[str, Any]:
    names = ("every", "every_unit", "daily_at", "weekly_at", "cron", "timezone")
    return {
        **{name: form.get(name, "") for name in names},
        "mode": form.get("schedule", ""),
        "weekly_on": tuple(form.of("weekly_on")),
    }


def _at_and_days(cron: str) -> tuple[str, tuple[str, ...]]:
    """The clock time and the days, if the expression is written as `_weekly_cron` writes them; else nothing."""
    written = _AT_AND_DAYS.fullmatch(cron)
    if not written:
        return "", ()
    minute, hour, on = written.groups()
    days = {"*": tuple(DAYS), "1-5": tuple("12345")}.get(on, tuple(on.split(",")))
    at = f"{hour:0>2}:{minute:0>2}"
    is_ours = _CLOCK.fullmatch(at) and set(days) <= set(DAYS) and _weekly_cron(at, days) == cron
    return (at, days) if is_ours else ("", ())


def _weekly_cron(at: str, days: Sequence[str]) -> str:
    hour, minute = at.split(":")[:2]
    on = ",".join(sorted(set(days)))
    on = {",".join(sorted(DAYS)): "*", "1,2,3,4,5": "1-5"}.get(on, on)
    return f"{int(minute)} {int(hour)} * * {on}"


def _clock(form: Form, name: str) -> str:
    at = form.get(name, "").strip()
    if not _CLOCK.fullmatch(at):
        raise _WrongError(name, "write a time of the day, such as 09:00")
    return at


def _every(form: Form) -> dict[str, Any]:
    number, unit = form.get("every", "").strip(), form.get("every_unit", "seconds")
    if not _NUMBER.fullmatch(number) or unit not in UNITS:
        raise _WrongError("every", "write a number above 0, such as 5 or 1.5")
    return {"every": float(Decimal(number) * UNITS[unit])}


def _daily(form: Form) -> dict[str, Any]:
    return {"cron": _weekly_cron(_clock(form, "daily_at"), tuple(DAYS))}


def _weekly(form: Form) -> dict[str, Any]:
    days = [day for day in form.of("weekly_on") if day in DAYS]
    if not days:
        raise _WrongError("weekly_on", "tick one day at least")
    return {"cron": _weekly_cron(_clock(form, "weekly_at"), days)}


def _cron(form: Form) -> dict[str, Any]:
    if form.text("cron") is None:
        raise _WrongError("cron", "write an expression, such as 0 3 * * 1 for Mondays at 03:00")
    return {"cron": form["cron"]}


def _once(form: Form) -> dict[str, Any]:
    instant = _instant(form, "run_at")
    if instant is None:
        raise _WrongError("run_at", "write a date and a time to come")
    return {"run_at": instant}


def _zone(form: Form) -> dict[str, Any]:
    try:
        return {"timezone": zone_named(form.get("timezone", "UTC").strip()).key}
    except ConfigError as error:
        raise _WrongError("timezone", str(error)) from None


def _window(form: Form) -> dict[str, Any]:
    return {name: _instant(form, name) for name in ("starts_at", "ends_at")}


def _instant(form: Form, name: str) -> str | None:
    try:
        return wall_time.sent(form, name, wall_time.zone_or_utc(form.get("timezone", "UTC").strip()))
    except ValueError as error:
        raise _WrongError(name, str(error)) from None


_READ: dict[str, Callable[[Form], dict[str, Any]]] = {
    "every": _every,
    "daily": _daily,
    "weekly": _weekly,
    "cron": _cron,
    "once": _once,
    "by_hand": lambda _: {},
}
