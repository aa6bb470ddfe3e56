"""When Airflow makes runs: a run is a shift, created `lead` before its first occurrence.

`logical_date` must not lie in the future, or the scheduler leaves the run alone until then; so the data interval of a
run is [when it is created, when it is first due], and *due* is `data_interval_end`. The run id shows *due*.

After an edit there may be a second run for one instant, for the first may have gone home. It must have another id: with
one that is taken, Airflow's scheduler ends in a database error, and so does each that comes after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from include.schedule import Schedule
from include.settings import settings
from include.shifts.window import shift_end

_LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)
_TICK = timedelta(microseconds=1)
# By so much longer is the data interval of a run that is a shift, where it could also be of one occurrence: as runs of
# the same row are on a worker, and were once of all rows that are due each minute.
_MARK = timedelta(seconds=1)
_LONGEST_UNMARKED = timedelta(minutes=1) - _MARK
_UNNAMED_LEAD = timedelta(seconds=25)  # by so much before it is due a run is created, unless its id says otherwise


class ShiftTimetable(Timetable):
    """One run per occurrence; one per shift, which holds many, of a schedule that is fast or `continuous`."""

    def __init__(
        self,
        schedule: Schedule,
        changed_at: datetime,
        lead: timedelta,
        length: timedelta,
        continuous: bool = False,
        called: str | None = None,
    ) -> None:
        self.schedule = schedule
        self.changed_at = changed_at
        self.lead = lead
        self.length = length
        self.continuous = continuous
        self.called = called
        self.description = called or schedule.describe()

    @classmethod
    def of(
        cls, schedule: Schedule, changed_at: datetime, *, continuous: bool = False, ahead: bool = True
    ) -> ShiftTimetable:
        """The timetable of a row, with this process's settings; without `ahead`, runs start when they are to fire."""
        length = timedelta(seconds=settings().shift_seconds)
        return cls(schedule, changed_at, settings().lead if ahead else timedelta(0), length, continuous)

    @classmethod
    def always(cls) -> ShiftTimetable:
        """One shift after another, whatever there is to do: of DAGs that are no row's."""
        schedule = Schedule(anchor=_LONG_AGO, salt=0, every=timedelta(seconds=1), starts_at=_LONG_AGO)
        length = timedelta(seconds=settings().shift_seconds)
        return cls(schedule, _LONG_AGO, settings().lead, length, continuous=True, called="always on duty")

    @property
    def summary(self) -> str:
        return self.description

    def serialize(self) -> dict[str, Any]:
        """Plain JSON; instants as ISO 8601 in UTC, intervals in microseconds, lead and length in seconds."""
        schedule = self.schedule
        return {
            "cron": schedule.cron,
            "every": None if schedule.every is None else schedule.every // _TICK,
            "run_at": _text(schedule.run_at),
            "timezone": schedule.timezone,
            "starts_at": _text(schedule.starts_at),
            "ends_at": _text(schedule.ends_at),
            "jitter": schedule.jitter // _TICK,
            "fixed_delay": schedule.fixed_delay,
            "anchor": _text(schedule.anchor),
            "salt": schedule.salt,
            "changed_at": _text(self.changed_at),
            "lead": self.lead.total_seconds(),
            "length": self.length.total_seconds(),
            "continuous": self.continuous,
            **({} if self.called is None else {"called": self.called}),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ShiftTimetable:
        schedule = Schedule(
            anchor=datetime.fromisoformat(data["anchor"]),
            salt=data["salt"],
            cron=data["cron"],
            every=None if data["every"] is None else data["every"] * _TICK,
            run_at=_instant(data["run_at"]),
            timezone=data["timezone"],
            starts_at=_instant(data["starts_at"]),
            ends_at=_instant(data["ends_at"]),
            jitter=data["jitter"] * _TICK,
            fixed_delay=data.get("fixed_delay", False),
        )
        changed_at = datetime.fromisoformat(data["changed_at"])
        lead, length = timedelta(seconds=data["lead"]), timedelta(seconds=data["length"])
        return cls(schedule, changed_at, lead, length, data.get("continuous", False), data.get("called"))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return DataInterval.exact(run_after)

    def generate_run_id(
        self, *, run_type: Any, run_after: pendulum.DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        """The run id shows when the run is due, and by how much before that it is created, if not as usual."""
        due = run_after if data_interval is None else data_interval.end
        suffix = due.isoformat()
        if data_interval is not None and run_type.value == "scheduled":
            ahead = _plain(due) - _plain(data_interval.start)
            suffix += "" if ahead == _UNNAMED_LEAD else f"~{ahead.total_seconds()}s"
        return str(run_type.generate_run_id(suffix=suffix))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        last = last_automated_data_interval
        if last is not None and last.start < self.changed_at and not self._has_been(last.end):
            last = None  # made by the schedule that the row had before: it says nothing about this one
        now = datetime.now(timezone.utc)
        if last is None:
            due = self.next_due(None, now)
        elif self._held_one(last):
            due = self._next_occurrence(_plain(last.end), now)
        else:
            due = self.next_due(_plain(last.end), now)
        if due is None:
            return None
        early = due - self.lead - (_MARK if self._marks else timedelta(0))
        start = max(early, self.changed_at if last is None else last.end)
        interval = DataInterval(_pendulum(min(start, due)), _pendulum(due))
        if restriction.latest is not None and interval.start > restriction.latest:
            return None  # who marks a run in Airflow asks for all until then, and goes on asking until there is none
        if not self.lead:  # a worker that waited for the end of the jitter would keep others from working
            return DagRunInfo(run_after=_pendulum(due + self.schedule.delay(due)), data_interval=interval)
        return DagRunInfo(run_after=interval.start, data_interval=interval)

    def next_due(self, last_due: datetime | None, now: datetime) -> datetime | None:
        """The first occurrence of the next run, after the run that was due at `last_due`.

        Where occurrences were missed, the newest of them: its run accounts for the ones before it.
        """
        if self.schedule.run_at is not None:
            return self.schedule.run_at if last_due != self.schedule.run_at else None
        if self.schedule.fixed_delay:
            return self._next_of_delay(last_due, now)
        after = self.changed_at if last_due is None else last_due
        if self.schedule.is_fast or self.continuous:
            if last_due is None:
                return self.schedule.next_after(max(after, now))
            border = shift_end(self.schedule.salt, last_due, self.length)
            if border > now:
                return self.schedule.next_after(border - _TICK)
        return self._next_occurrence(after, now)

    def _has_been(self, due: datetime) -> bool:
        """Whether the row was due just once, at that instant, before it was changed: it is not due again."""
        return due == self.schedule.run_at and due <= self.changed_at

    @property
    def _marks(self) -> bool:
        """Whether runs that are shifts are marked, for there may be others."""
        return self.continuous and self.schedule.is_minutely and not self.schedule.is_fast

    def _held_one(self, run: DataInterval) -> bool:
        """Whether a run ended with its occurrence, so that nobody is on duty. The first of a schedule has no mark."""
        start, due = _plain(run.start), _plain(run.end)
        unmarked = due - start <= min(self.lead, _LONGEST_UNMARKED)
        return self._marks and unmarked and start != self.changed_at

    def _next_occurrence(self, after: datetime, now: datetime) -> datetime | None:
        """The first one; of those that were missed, the newest."""
        due = self.schedule.next_after(after)
        if due is not None and due <= now:
            return self.schedule.latest_until(now, after)
        return due

    def _next_of_delay(self, last_due: datetime | None, now: datetime) -> datetime | None:
        """With a fixed delay only a shift knows when it is due: from the first occurrence on, there is always one."""
        if last_due is None:
            begin = self.schedule.next_after(self.changed_at)
        else:
            begin = shift_end(self.schedule.salt, last_due, self.length)
        if begin is None:
            return None
        begin = max(begin, now.replace(microsecond=0))
        return None if self.schedule.ends_at is not None and begin >= self.schedule.ends_at else begin


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(timezone.utc).isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _plain(instant: datetime) -> datetime:
    """As the standard library's own class: arithmetic with pendulum's is not quite the same."""
    return datetime.combine(instant.date(), instant.timetz()).astimezone(timezone.utc)


def _pendulum(instant: datetime) -> pendulum.DateTime:
    return pendulum.instance(instant.astimezone(timezone.utc), tz="UTC")
