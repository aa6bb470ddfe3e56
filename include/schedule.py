"""When: cron, every, once. Pure arithmetic on aware UTC instants; the only clock is the caller's.

**Every** is a fixed rate that never drifts: occurrence *n* is `first + n * every`, whatever happened to the others. The
first is `starts_at` where that is given. Otherwise it is `anchor`, cut to the whole second, plus `every`, less a
spread: a stable hash of `salt`, in whole milliseconds, in [0, min(every, 60 s)); and one step later if that is not
after `anchor`. So rows that were created together do not fire together, and none waits longer than `every`.

With a **fixed delay**, `every` is counted from the end of the last execution, which only the ledger knows: the first
occurrence is as above, and what follows here is what would be if executions took no time.

**Cron** has 5 fields, or 6 with the seconds first, or is a macro. It is matched against the wall clock of `timezone`:

- A wall time that does not exist (clocks go forward) fires at the instant at which the gap ends. Several in one gap,
  or one together with a regular match at that instant, are one occurrence.
- A wall time that comes twice (clocks go back) fires in both passes if the hour field starts with `*`, so that
  `*/5 * * * *` has no hole; any other expression, such as `30 2 * * *`, fires in the first pass only.

Where neither the day of month nor the day of week is `*`, a day matches if either does, as in classic cron; but with
`mon#2`, `L5` or `15W` in them, only if both do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise

from include.errors import ConfigError, MisfitError
from include.time_zones import zone_named
from include.wall_cron import EPOCH, SECOND, TICK, UTC, wall_cron

MINUTE = timedelta(minutes=1)
LONGEST = timedelta(days=36525)
_GAPS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """The instants at which a row is due. The module's docstring is the rule; `validate()` says whether it can hold.

    `anchor` is when the row was created, `salt` its id. `starts_at` is inclusive, `ends_at` exclusive. With none of
    `cron`, `every` and `run_at` there are no occurrences: the row runs only by hand.
    """

    anchor: datetime
    salt: int
    cron: str | None = None
    every: timedelta | None = None
    run_at: datetime | None = None
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: timedelta = timedelta(0)
    fixed_delay: bool = False

    def validate(self) -> None:
        """Raise `MisfitError`, saying what is wrong and what to write, unless every other method is safe to call."""
        given = [name for name in ("cron", "every", "run_at") if getattr(self, name) is not None]
        if len(given) > 1:
            raise _misfit(given[0], f"{' and '.join(given)} are set together; keep one of them and clear the rest")
        for name in ("run_at", "starts_at", "ends_at"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise _misfit(name, f"{name} {moment} has no time zone; write an offset, such as {moment}+00:00")
        _judge("timezone", lambda: zone_named(self.timezone))
        if self.jitter < timedelta(0):
            raise _misfit("jitter", f"jitter is {_spell(self.jitter)}; write 0 or more")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            said = f"starts_at {self.starts_at} is not before ends_at {self.ends_at}; write a later ends_at"
            raise _misfit("ends_at", said)
        if (cron := self.cron) is not None:
            _judge("cron", lambda: wall_cron(cron, self.timezone))
        if self.every is not None and not SECOND <= self.every <= LONGEST:
            raise _misfit("every", f"every is {_spell(self.every)}; write 1 second at least, 100 years at most")
        self._validate_jitter()
        if self.fixed_delay and self.every is None:
            said = "every_mode is fixed_delay, but there is no every; write every, or every_mode fixed_rate"
            raise _misfit("every_mode", said)
        if self.run_at is not None and self.next_after(self.run_at - TICK) is None:
            window = f"starts_at {self.starts_at} (inclusive) to ends_at {self.ends_at} (exclusive)"
            raise _misfit("run_at", f"run_at {self.run_at} lies outside {window}; move or clear one of them")

    def _validate_jitter(self) -> None:
        """Occurrences keep their order: none is put off beyond the next one."""
        if not self.jitter:
            return
        gap = self.every
        if self.cron is not None:
            dues = list(islice(self.between(self.anchor, self.anchor + LONGEST), _GAPS_LOOKED_AT + 1))
            gap = min((later - earlier for earlier, later in pairwise(dues)), default=None)
        if gap is not None and self.jitter > gap:
            longest = f"two occurrences are as little as {_spell(gap)} apart"
            raise _misfit("jitter", f"jitter is {_spell(self.jitter)}, but {longest}; write that at most")

    def next_after(self, instant: datetime) -> datetime | None:
        """The smallest occurrence strictly later than `instant`, in UTC; None if there is no more."""
        instant = max(_utc(instant), EPOCH if self.starts_at is None else _utc(self.starts_at) - TICK)
        found: datetime | None = None
        if self.every is not None:
            found = _first(self.anchor, self.salt, self.every, self.starts_at)
            if instant >= found:
                found += ((instant - found) // self.every + 1) * self.every
        elif self.cron is not None:
            found = wall_cron(self.cron, self.timezone).next_after(instant)
        elif self.run_at is not None and self.run_at > instant:
            found = _utc(self.run_at)
        return None if found is None or (self.ends_at is not None and found >= self.ends_at) else found

    def latest_until(self, until: datetime, after: datetime) -> datetime | None:
        """The newest occurrence `o` with `after < o <= until`, at a cost that hardly grows with the distance."""
        until = _utc(until) if self.ends_at is None else min(_utc(until), _utc(self.ends_at) - TICK)
        if self.every is None:
            return self._search_backwards(until, after)
        first = _first(self.anchor, self.salt, self.every, self.starts_at)
        newest = first + (until - first) // self.every * self.every
        return newest if newest >= first and newest > after else None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Every occurrence `o` with `after < o <= until`, in order, each computed when it is asked for."""
        while (found := self._next_until(after, until)) is not None:
            yield found
            after = found

    def is_occurrence(self, instant: datetime) -> bool:
        """Whether the row is due at exactly this instant."""
        return self.next_after(instant - TICK) == instant

    @property
    def is_fast(self) -> bool:
        """Whether the row fires more often than once a minute, at least at times."""
        if self.every is not None:
            return self.every < MINUTE
        return self.cron is not None and wall_cron(self.cron, self.timezone).has_many_seconds

    @property
    def is_minutely(self) -> bool:
        """Whether the row fires every minute of some hours, or more often."""
        if self.every is not None:
            return self.every <= MINUTE
        return self.is_fast or (self.cron is not None and wall_cron(self.cron, self.timezone).has_every_minute)

    def delay(self, occurrence: datetime) -> timedelta:
        """How much later than its nominal instant an occurrence fires: the same on every call, in [0, jitter)."""
        reach = self.jitter // TICK
        if reach == 0:
            return timedelta(0)
        return _draw(f"delay {self.salt} {(_utc(occurrence) - EPOCH) // TICK}", reach) * TICK

    def describe(self) -> str:
        """A short reading for people."""
        if self.cron is not None:
            return f"cron {self.cron} ({self.timezone})"
        if self.every is not None:
            return f"{_spell(self.every)} after the last" if self.fixed_delay else f"every {_spell(self.every)}"
        if self.run_at is not None:
            return f"once at {_utc(self.run_at):%Y-%m-%d %H:%M:%S} UTC"
        return "by hand"

    def oddity(self, occurrence: datetime) -> str | None:
        """What a change of the clocks did to this occurrence, for people; None for an ordinary one."""
        if self.cron is None:
            return None
        return wall_cron(self.cron, self.timezone).oddity(_utc(occurrence))

    def _next_until(self, after: datetime, until: datetime) -> datetime | None:
        found = self.next_after(after)
        return found if found is not None and found <= until else None

    def _search_backwards(self, until: datetime, after: datetime) -> datetime | None:
        """As `latest_until`: double a window that ends at `until` till something is in it, then halve what is left."""
        newest = self._next_until(after, until)
        barren, span = until, MINUTE  # nothing follows `barren`
        while newest is not None and (following := self._next_until(newest, until)) is not None:
            probe = max(following, barren - span)
            if found := self._next_until(probe, until):
                newest, span = found, (barren - found) / 2
            else:
                newest, barren, span = following, probe, span * 2
        return newest


@lru_cache(maxsize=65536)
def _first(anchor: datetime, salt: int, every: timedelta, starts_at: datetime | None) -> datetime:
    """The first occurrence of a fixed rate, by the rule in the module's docstring."""
    if starts_at is not None:
        return _utc(starts_at)
    spread = _draw(f"spread {salt}", min(every, MINUTE) // TICK // 1000) * 1000 * TICK
    first = _utc(anchor).replace(microsecond=0) + every - spread
    return first if first > anchor else first + every


def _judge(place: str, read: Callable[[], object]) -> None:
    try:
        read()
    except ConfigError as error:
        raise _misfit(place, str(error)) from error


def _misfit(place: str, said: str) -> MisfitError:
    return MisfitError(said, [(place, said)])


def _utc(instant: datetime) -> datetime:
    """The instant as a plain datetime in UTC: subclasses, such as Airflow's pendulum, bring arithmetic of their own."""
    if type(instant) is datetime and instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None:
        raise TypeError(f"{instant} has no time zone, so it is not an instant")
    instant = instant.astimezone(UTC)
    return datetime.combine(instant.date(), instant.time(), UTC)


def _draw(text: str, below: int) -> int:
    """A number in [0, below) that is the same for the same text in every process (which `hash()` is not)."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * below >> 64


def _spell(length: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (MINUTE, "min")):
        if length and length % unit == timedelta(0):
            return f"{length // unit} {name}"
    return f"{length.total_seconds():.6f}".rstrip("0").rstrip(".") + " s"
