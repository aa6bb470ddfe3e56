"""A cron expression on the wall clock of a zone; when the clocks change, by the rule in `include/schedule.py`."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from include.errors import ConfigError
from include.time_zones import zone_named

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)

MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31 or L",
    "month": "1-12 or jan-dec",
    "day of week": "0-7 or sun-sat, mon#2 for the second Monday, L5 for the last Friday",
}
# croniter moves the seconds behind the other five.
MINUTE, HOUR, SECONDS = 0, 1, 5


@dataclass(frozen=True, slots=True)
class WallCron:
    """A cron expression on the wall clock of one zone.

    croniter sees naive wall times only: its own handling of clock changes differs from our rule, so it is never used.
    """

    template: croniter
    zone: ZoneInfo
    is_in_both_passes: bool
    has_many_seconds: bool
    has_every_minute: bool

    def next_after(self, instant: datetime) -> datetime | None:
        """The smallest occurrence later than `instant` (UTC).

        The first-pass instant of a wall time never decreases as the wall time grows, and neither does the second-pass
        instant within one repeated period. So the answer is the first match after the wall time of `instant`; only
        inside a repeated period can the second pass of another match be nearer, or the first pass of it lie behind.
        """
        local = instant.astimezone(self.zone)
        wall = local.replace(tzinfo=None, microsecond=0)  # matches are whole seconds, so cutting loses none
        before, after = self._offsets(wall)
        if before <= after:
            return self._first_pass(self._match_after(wall))
        turn = self._turn(wall, before, after)
        begin, end = _naive(turn, after), _naive(turn, before)
        if local.fold:
            match = self._match_after(wall if self.is_in_both_passes else end - SECOND)
            return _instant(match, after) if match and match < end else self._first_pass(match)
        nearest = self._first_pass(self._match_after(wall))
        again = self._match_after(begin - SECOND) if self.is_in_both_passes else None
        second_pass = _instant(again, after) if again and again < end else None
        return min((found for found in (nearest, second_pass) if found), default=None)

    def oddity(self, occurrence: datetime) -> str | None:
        """As `Schedule.oddity`."""
        local = occurrence.astimezone(self.zone)
        wall = local.replace(tzinfo=None)
        before, after = self._offsets(wall)
        if before > after:
            if not self.is_in_both_passes:
                return "first of two passes"
            return "second of two" if local.fold else "first of two"
        earlier = (occurrence - TICK).astimezone(self.zone).utcoffset() or timedelta(0)
        gap = _naive(occurrence, earlier)
        match = self._match_after(gap - SECOND)
        if match is None or match >= wall or self._match_after(wall - SECOND) == wall:
            return None
        text = match.isoformat(" ", "seconds").removesuffix(":00")
        return f"moved from {text if gap.date() != wall.date() else text[11:]}, which does not exist"

    def _match_after(self, wall: datetime) -> datetime | None:
        # A croniter keeps its position in itself; the copy keeps threads that share the template out of each other's.
        try:
            found: datetime = copy.copy(self.template).get_next(datetime, start_time=wall)
        except (ValueError, OverflowError):  # nothing more before the calendar ends
            return None
        return found

    def _first_pass(self, wall: datetime | None) -> datetime | None:
        """When this wall time comes for the first time; for one that does not exist, when the gap ends."""
        if wall is None:
            return None
        before, after = self._offsets(wall)
        return _instant(wall, before) if before >= after else self._turn(wall, before, after)

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        """The offsets before and after the change at this wall time: equal on an ordinary day, growing in a gap."""
        before, after = (wall.replace(tzinfo=self.zone, fold=fold).utcoffset() for fold in (0, 1))
        return before or timedelta(0), after or timedelta(0)

    def _turn(self, wall: datetime, before: timedelta, after: timedelta) -> datetime:
        """The instant at which the clocks change from `before` to `after`, around this wall time."""
        low, high = sorted((_instant(wall, before), _instant(wall, after)))
        while high - low > SECOND:
            middle = low + (high - low) // SECOND // 2 * SECOND
            if middle.astimezone(self.zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        return high


def _instant(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _naive(instant: datetime, offset: timedelta) -> datetime:
    return (instant + offset).replace(tzinfo=None)


@lru_cache(maxsize=16384)
def wall_cron(cron: str, zone: str) -> WallCron:
    """The expression, parsed once; `ConfigError` if it says nothing, or says what we do not do, or never fires."""
    fields = cron.split()
    _refuse(cron, fields)
    try:
        template = croniter(" ".join(fields), EPOCH.replace(tzinfo=None), second_at_beginning=len(fields) == 6)
    except ValueError as error:
        raise ConfigError(_complaint(cron, fields, str(error))) from error
    try:
        copy.copy(template).get_next(datetime)
    except CroniterError as error:
        raise ConfigError(f"cron {cron!r} never fires: no such day exists; write a date that comes") from error
    seconds = template.expanded[SECONDS] if len(fields) == 6 else []
    return WallCron(
        template,
        zone_named(zone),
        is_in_both_passes=template.expressions[HOUR].startswith("*"),
        has_many_seconds=seconds == ["*"] or len(seconds) > 1,
        has_every_minute=template.expanded[MINUTE] == ["*"],
    )


def _refuse(cron: str, fields: list[str]) -> None:
    """Raise `ConfigError` for what croniter would take but we do not, or would refuse without a remedy."""
    if len(fields) == 1 and fields[0].startswith("@"):
        if fields[0].lower() in MACROS:
            return
        raise ConfigError(f"unknown cron macro {cron!r}; there are: {', '.join(MACROS)}")
    if len(fields) not in (5, 6):
        raise ConfigError(
            f"cron {cron!r} has {len(fields)} fields; write 5 (minute hour day-of-month month day-of-week), "
            "or 6 with the second first; there is no year"
        )
    for field in fields:
        if re.search(r"(^|,)[hr]", field, re.IGNORECASE):
            raise ConfigError(f"cron {cron!r}: {field!r} is not supported; write a number, and spread rows with jitter")
        # croniter reads "2-2" as the whole cycle: an hour field of 2-2 would fire around the clock.
        if twin := re.search(r"(?:^|,)(\w+)-\1(?!\w)", field, re.IGNORECASE):
            raise ConfigError(f"cron {cron!r}: the range in {field!r} has one value only; write {twin[1]} alone")


def _complaint(cron: str, fields: list[str], reason: str) -> str:
    """croniter's complaint, with the field that it is about, which croniter does not tell."""
    for place, (name, field) in enumerate(zip(list(FIELDS)[-len(fields) :], fields, strict=True)):
        alone = [field if at == place else "*" for at in range(len(fields))]
        if not croniter.is_valid(" ".join(alone), second_at_beginning=len(fields) == 6):
            return f"cron {cron!r}: the {name} cannot be {field!r}; write {FIELDS[name]}, *, a list, a range or a step"
    return f"cron {cron!r} cannot be read: {reason}"
