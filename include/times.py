"""Durations and instants as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from include.errors import ConfigError
from include.time_zones import zone_named

_MICROSECONDS = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1000,
}
_PART = re.compile(r"(\d+(?:\.\d+)?) *(ms|min|m|d|h|s)", re.ASCII)
_PARTS = re.compile(rf"(?:{_PART.pattern} *)+", re.ASCII)
_CLOCK = re.compile(r"(?:(\d+) days?,? +)?(\d+):([0-5]\d):([0-5]\d(?:\.\d{1,6})?)", re.ASCII)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d{1,6}))?)? *(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE
)


def parse_duration(text: str, what: str) -> timedelta:
    """`5s`, `1m30s`, `2h`, `1d`, `250ms` or `00:05:00`; `what` names the option in the error."""
    text = text.strip()
    try:
        if text == "0":
            return timedelta(0)
        if _PARTS.fullmatch(text.lower()):
            parts = _PART.findall(text.lower())
            return timedelta(microseconds=int(sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in parts)))
        if clock := _CLOCK.fullmatch(text):
            days, hours, minutes, seconds = clock.groups()
            microseconds = int(Decimal(seconds) * 1_000_000)
            return timedelta(int(days or 0), hours=int(hours), minutes=int(minutes), microseconds=microseconds)
    except (OverflowError, ValueError) as error:
        raise ConfigError(f"{what}: {text!r} is longer than any duration that makes sense here") from error
    raise ConfigError(f"{what}: {text!r} is not a duration; write 5s, 1m30s, 2h, 1d or 00:05:00")


def parse_instant(text: str, what: str, *, zone: str, now: datetime) -> datetime:
    """ISO 8601, on the clock of `zone` if it has no offset; or `+10m`, from now and up to the next whole second."""
    text = text.strip()
    try:
        if text.startswith("+"):
            later = now + parse_duration(text[1:], what)
            return later if later.microsecond == 0 else later.replace(microsecond=0) + timedelta(seconds=1)
        if written := _ISO.fullmatch(text):
            date, time, seconds, fraction, offset = written.groups()
            naive = datetime.fromisoformat(f"{date}T{time or '00:00'}{seconds or ':00'}.{(fraction or '0'):0<6}")
            return _at_offset(naive, offset) if offset else _on_clock(naive, zone, what)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{what}: {text!r} is not an instant: {error}") from error
    raise ConfigError(
        f"{what}: {text!r} is not an instant; write 2026-07-01T09:00:00+02:00, 2026-07-01 09:00 ({zone}), "
        "or +10m for ten minutes from now"
    )


def utcnow() -> datetime:
    return datetime.now(timezone.utc)


def parse_past(text: str, what: str, now: datetime) -> datetime:
    """`2h` or `-2h`: so long ago; or ISO 8601, in UTC if it has no offset; `what` names the option in the error."""
    try:
        return now - parse_duration(text.strip().removeprefix("-"), what)
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)
    except ConfigError:
        pass
    try:
        return parse_instant(text, what, zone="UTC", now=now)
    except ConfigError as error:
        raise ConfigError(
            f"{what}: {text!r} is not an instant; write 2026-07-01T09:00:00Z, or 2h for two hours ago"
        ) from error


def spell_duration(length: timedelta) -> str:
    """As `parse_duration` reads it: `1d2h`, `1m30s`, `0.25s`."""
    minutes, seconds = divmod(length, timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    whole = "".join(f"{number}{unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if number)
    if not seconds and whole:
        return whole
    return whole + f"{seconds.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def spell_instant(instant: datetime | None) -> str:
    """In UTC for a table: to the second, or to the millisecond where that says more; empty for None."""
    return "" if instant is None else spell_wall(instant.astimezone(timezone.utc))


def spell_wall(instant: datetime) -> str:
    """As `spell_instant`, on the clock that the instant comes with."""
    fraction = f".{instant.microsecond // 1000:03}" if instant.microsecond >= 1000 else ""
    return f"{instant:%Y-%m-%d %H:%M:%S}{fraction}"


def _at_offset(naive: datetime, offset: str) -> datetime:
    if offset in "Zz":
        return naive.replace(tzinfo=timezone.utc)
    minutes = int(offset[1:3]) * 60 + int(offset[-2:])
    length = timedelta(minutes=-minutes if offset[0] == "-" else minutes)
    return naive.replace(tzinfo=timezone(length)).astimezone(timezone.utc)


def _on_clock(naive: datetime, zone: str, what: str) -> datetime:
    """The first of two where clocks go back; where they go forward, there may be none."""
    instant = naive.replace(tzinfo=zone_named(zone)).astimezone(timezone.utc)
    if instant.astimezone(zone_named(zone)).replace(tzinfo=None) != naive:
        raise ConfigError(f"{what}: the clocks of {zone} skip {naive}; write another time, or an offset")
    return instant
