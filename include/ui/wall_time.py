"""Instants as people type them: wall times on the clock of a zone, which the API gets in UTC.

A wall time that the clocks skip is refused. Of one that comes twice, people choose which of the two is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from include.documents.fields import spell_utc
from include.errors import ConfigError
from include.time_zones import zone_named
from include.ui.form import Form

_WRITTEN = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d{1,6}))?", re.ASCII)
_PASSES = ("first", "second")
_MILLISECOND = 1000


@dataclass(frozen=True, slots=True)
class WallTime:
    """A field for an instant: what is typed (`value`), and of a time that comes twice the two, and which is meant.

    A browser knows milliseconds at most, so `kept` is the whole instant that the row has.
    """

    name: str
    value: str = ""
    kept: str = ""
    step: str = "1"
    passes: tuple[tuple[str, str], ...] = ()
    meant: str = ""


def shown(name: str, instant: str | None, zone_name: str, form: Form | None) -> WallTime:
    """The field, with what has been typed into it; where no form is, with the instant on the clock of the zone."""
    zone = zone_or_utc(zone_name)
    if form is not None:
        typed = form.get(name, "")
        found = _instants(_naive(typed), zone)
        kept, meant = form.get(f"{name}_kept", ""), form.get(f"{name}_pass", "")
        return WallTime(name, typed, kept, _step(typed), _passes(found, zone), meant)
    if instant is None:
        return WallTime(name)
    local = datetime.fromisoformat(instant.replace("Z", "+00:00")).astimezone(zone)
    has_fraction = local.microsecond >= _MILLISECOND
    value = local.replace(tzinfo=None).isoformat(timespec="milliseconds" if has_fraction else "seconds")
    passes = _passes(_instants(local.replace(tzinfo=None, fold=0), zone), zone)
    return WallTime(name, value, instant, _step(value), passes, _PASSES[local.fold] if passes else "")


def sent(form: Form, name: str, zone: ZoneInfo) -> str | None:
    """The instant in UTC, None where nothing is typed; `ValueError` says what is wrong with what is."""
    typed = form.text(name)
    if typed is None:
        return None
    wall = _naive(typed)
    if wall is None:
        raise ValueError("write a date and a time, such as 2026-11-21T09:00")
    found = _instants(wall, zone)
    if not found:
        raise ValueError(f"the clocks of {zone.key} skip {wall:%H:%M} on that day; write a time before or after")
    meant = form.get(f"{name}_pass", "")
    if len(found) > 1 and meant not in _PASSES:
        raise ValueError(f"the clocks of {zone.key} show {wall:%H:%M} twice on that day; choose which of the two")
    instant = found[_PASSES.index(meant)] if len(found) > 1 else found[0]
    return spell_utc(_whole(instant, form.get(f"{name}_kept", "")))


def zone_or_utc(name: str) -> ZoneInfo:
    """The zone of that name; UTC where there is none, so that a wrong name can be shown and mended."""
    try:
        return zone_named(name)
    except ConfigError:
        return zone_named("UTC")


def offset(local: datetime) -> str:
    """What the clocks are set to then: `CET (UTC+01:00)`, `UTC+03:00`, `UTC`."""
    spelt = local.strftime("%z")
    utc = f"UTC{spelt[:3]}:{spelt[3:5]}"
    name = local.tzname() or ""
    if name == "UTC":
        return name
    return f"{name} ({utc})" if name.isalpha() else utc


def _naive(typed: str) -> datetime | None:
    written = _WRITTEN.fullmatch(typed.strip())
    if not written:
        return None
    date, clock, seconds, fraction = written.groups()
    try:
        return datetime.fromisoformat(f"{date}T{clock}{seconds or ':00'}.{(fraction or '0'):0<6}")
    except ValueError:
        return None


def _instants(wall: datetime | None, zone: ZoneInfo) -> list[datetime]:
    """When the clocks show this wall time: once, on some days twice or never."""
    found: list[datetime] = []
    for fold in (0, 1) if wall else ():
        try:
            instant = wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) if wall else None
            if instant and instant not in found and instant.astimezone(zone).replace(tzinfo=None) == wall:
                found.append(instant)
        except OverflowError:  # at the ends of the calendar
            continue
    return found


def _passes(instants: list[datetime], zone: ZoneInfo) -> tuple[tuple[str, str], ...]:
    if len(instants) < len(_PASSES):
        return ()
    said = [f"{local:%H:%M} {offset(local)}" for local in (instant.astimezone(zone) for instant in instants)]
    return tuple((which, f"the {which}: {one}") for which, one in zip(_PASSES, said, strict=True))


def _step(value: str) -> str:
    return "0.001" if "." in value else "1"


def _whole(instant: datetime, kept: str) -> datetime:
    """The instant as the row has it, if what is typed is that, cut to what a browser knows."""
    try:
        before = datetime.fromisoformat(kept.replace("Z", "+00:00"))
        cut = before.replace(microsecond=before.microsecond // _MILLISECOND * _MILLISECOND)
    except ValueError:
        return instant
    return before if before.tzinfo is not None and cut == instant else instant
