"""When Airflow makes runs: early enough to fire on the instant, never dated in the future, one per shift."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.airflow_system import LONG_AGO, OF_AIRFLOW, a_job  # isort: split

import pendulum
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.utils.types import DagRunType

from include.model import Job
from include.orchestration.factory import build
from include.orchestration.timetable import ShiftTimetable
from include.shifts.window import shift_end

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

UTC = timezone.utc
TICK = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEAD = timedelta(seconds=25)
NO_LIMIT = TimeRestriction(earliest=None, latest=None, catchup=False)

# No run is owed yet, whenever these tests run: what comes next follows from the run before and not from the clock.
AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


def timetable(job: Job, lead: timedelta = LEAD, length: timedelta = HOUR) -> ShiftTimetable:
    return ShiftTimetable(job.schedule, job.schedule_changed_at, lead, length)


def following(table: ShiftTimetable, last: DataInterval | None = None) -> DagRunInfo | None:
    """The run after the one with this interval."""
    return table.next_dagrun_info(last_automated_data_interval=last, restriction=NO_LIMIT)


def runs(table: ShiftTimetable) -> Iterator[DagRunInfo]:
    """All runs, one after another, as a scheduler that never sleeps makes them."""
    info = following(table)
    while info is not None:
        yield info
        info = following(table, info.data_interval)


def interval(start: datetime, end: datetime) -> DataInterval:
    """An interval as Airflow reads it from its database."""
    return DataInterval(pendulum.instance(start), pendulum.instance(end))


# -- one occurrence, one run -------------------------------------------------------------------------------------------


def test_a_run_is_made_early_and_named_by_when_it_is_due() -> None:
    """The run is there `lead` before its instant; its interval ends, and its id says, when it is due."""
    table = timetable(a_job(cron="0 9 * * *", created_at=AHEAD))
    info = following(table)
    assert info is not None
    nine = AHEAD + 9 * HOUR
    assert info.run_after == nine - LEAD
    assert info.data_interval == DataInterval(nine - LEAD, nine)
    run_id = table.generate_run_id(
        run_type=DagRunType.SCHEDULED, run_after=info.run_after, data_interval=info.data_interval
    )
    assert run_id == "scheduled__2100-01-01T09:00:00+00:00"


def test_a_run_by_hand_is_due_at_once() -> None:
    """Whoever triggers a DAG need not wait, and the run's id shows when that was."""
    table = timetable(a_job(cron="0 9 * * *"))
    now = pendulum.now("UTC")
    assert table.infer_manual_data_interval(run_after=now) == DataInterval(now, now)
    run_id = table.generate_run_id(run_type=DagRunType.MANUAL, run_after=now, data_interval=None)
    assert run_id == f"manual__{now.isoformat()}"


slow = st.one_of(
    st.builds(lambda seconds: {"every": timedelta(seconds=seconds)}, st.integers(60, 200_000)),
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 9 * * mon-fri", "0 0 31 * *", "59 23 L * *"]).map(
        lambda cron: {"cron": cron}
    ),
)
leads = st.integers(0, 600_000).map(lambda ms: timedelta(milliseconds=ms))


@given(
    when=slow, zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]), lead=leads, salt=st.integers(1)
)
@settings(max_examples=60, deadline=None)
def test_every_occurrence_has_one_run(when: dict[str, object], zone: str, lead: timedelta, salt: int) -> None:
    """No occurrence is skipped, and no two runs bear the same date, also where the lead is longer than the spacing."""
    job = a_job(salt % 10_000, created_at=AHEAD, timezone=zone, **when)
    made = list(islice(runs(timetable(job, lead)), 12))
    assert [info.data_interval.end for info in made] == list(
        islice(job.schedule.between(AHEAD, AHEAD + 5000 * DAY), 12)
    )
    for info in made:
        assert info.logical_date == info.run_after == info.data_interval.start
        assert AHEAD <= info.run_after <= info.data_interval.end
        assert info.data_interval.end - info.run_after <= lead
    assert all(earlier.logical_date < later.logical_date for earlier, later in pairwise(made))


def test_the_lead_is_cut_by_the_run_before() -> None:
    """Where the lead is longer than the spacing, a run is made when the one before it is due."""
    table = timetable(a_job(every=MINUTE, created_at=AHEAD), lead=10 * MINUTE)
    for earlier, later in pairwise(islice(runs(table), 5)):
        assert later.run_after == earlier.data_interval.end


# -- after a downtime --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "length"), [(HOUR, HOUR), (5 * SECOND, HOUR), (MINUTE, MINUTE)])
def test_after_a_downtime_comes_the_newest_missed_occurrence(every: timedelta, length: timedelta) -> None:
    """One run accounts for all that was missed: the newest of them, whose logical date is in the past."""
    now = datetime.now(UTC)
    job = a_job(every=every, created_at=now - 10 * DAY)
    last = job.schedule.next_after(now - 5 * DAY)
    assert last is not None
    before = job.schedule.latest_until(datetime.now(UTC), LONG_AGO)
    info = following(timetable(job, length=length), interval(last - LEAD, last))
    after = job.schedule.latest_until(datetime.now(UTC), LONG_AGO)
    assert info is not None
    assert info.data_interval.end in (before, after)
    assert info.run_after <= datetime.now(UTC)
    assert info.run_after >= last


def test_a_new_row_owes_nothing_of_the_time_before_it() -> None:
    """The first run of a schedule is for an occurrence after it was written."""
    created_at = datetime.now(UTC) - 90 * MINUTE
    info = following(timetable(a_job(cron="0 0 1 1 *", created_at=created_at)))
    assert info is not None
    assert info.data_interval.end > created_at
    assert info.run_after >= created_at


# -- many occurrences, one run -----------------------------------------------------------------------------------------


@given(
    every=st.integers(1000, 59_999).map(lambda ms: timedelta(milliseconds=ms)),
    length=st.integers(60, 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    lead=leads,
    id=st.integers(1, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_a_fast_schedule_has_one_run_per_shift(every: timedelta, length: timedelta, lead: timedelta, id: int) -> None:
    """A shift begins with the first occurrence on or after the border at which the one before it ends: none is lost."""
    job = a_job(id, every=every, created_at=AHEAD)
    made = list(islice(runs(timetable(job, lead, length)), 6))
    assert made[0].data_interval.end == job.schedule.next_after(AHEAD)
    for earlier, later in pairwise(made):
        border = shift_end(id, datetime.fromisoformat(earlier.data_interval.end.isoformat()), length)
        assert later.data_interval.end == job.schedule.next_after(border - TICK)
        assert earlier.logical_date < later.logical_date
        assert later.run_after <= later.data_interval.end


def test_shifts_of_many_rows_do_not_change_together() -> None:
    """The borders are spread over the whole length of a shift."""
    borders = [shift_end(id, AHEAD, HOUR) - AHEAD for id in range(1, 1001)]
    assert all(timedelta(0) < border <= HOUR for border in borders)
    quarters = [sum(border // (15 * MINUTE) == quarter for border in borders) for quarter in range(4)]
    assert min(quarters) > 150


# -- edits, once, never ------------------------------------------------------------------------------------------------


def test_an_edit_of_the_schedule_begins_anew() -> None:
    """A run that the schedule before the edit had made does not hold up the first occurrence of the new one."""
    edited_at = AHEAD + 10 * MINUTE
    job = a_job(cron="*/30 * * * *", created_at=AHEAD, schedule_changed_at=edited_at)
    daily = interval(AHEAD + DAY - LEAD, AHEAD + DAY)
    old = interval(AHEAD, AHEAD + DAY)  # made before the edit, for an instant long after it
    info, ordinary = following(timetable(job), old), following(timetable(job), daily)
    assert info is not None
    assert info.data_interval.end == AHEAD + 30 * MINUTE
    assert info.logical_date >= edited_at > old.start
    assert ordinary is not None
    assert ordinary.data_interval.end == AHEAD + DAY + 30 * MINUTE


@pytest.mark.parametrize(
    "change",
    [{"cron": "*/5 * * * *"}, {"ends_at": AHEAD + DAY}, {"timezone": "Europe/Berlin"}, {"run_at": AHEAD + HOUR}],
)
def test_an_edit_while_a_run_waits_makes_another_run_with_another_id(change: dict[str, Any]) -> None:
    """The first may have gone home meanwhile, so the instant has a second run; no two runs of a DAG have one id."""
    made = next(islice(runs(timetable(a_job(cron="*/10 * * * *", created_at=AHEAD))), 5, None))
    assert made.data_interval is not None
    when = {"cron": None if "run_at" in change else "*/10 * * * *", **change}
    edited = timetable(a_job(**when, created_at=AHEAD, schedule_changed_at=AHEAD + HOUR - 9 * SECOND))
    again = following(edited, made.data_interval)
    assert again is not None
    assert again.data_interval.end == made.data_interval.end == AHEAD + HOUR
    ids = {
        edited.generate_run_id(run_type=DagRunType.SCHEDULED, run_after=run.run_after, data_interval=run.data_interval)
        for run in (made, again)
    }
    assert ids == {f"scheduled__{(AHEAD + HOUR).isoformat()}", f"scheduled__{(AHEAD + HOUR).isoformat()}~9.0s"}
    assert made.logical_date != again.logical_date


@given(when=slow, lead=leads, ahead=leads)
@settings(max_examples=60, deadline=None)
def test_runs_of_different_dates_have_different_ids(when: dict[str, object], lead: timedelta, ahead: timedelta) -> None:
    """Whatever the lead is, and whenever before it is due a run was created."""
    table = timetable(a_job(created_at=AHEAD, **when), lead)
    due = AHEAD + DAY
    ids = {
        table.generate_run_id(
            run_type=DagRunType.SCHEDULED,
            run_after=pendulum.instance(due - early),
            data_interval=interval(due - early, due),
        )
        for early in (lead, ahead, LEAD, timedelta(0))
    }
    assert len(ids) == len({lead, ahead, LEAD, timedelta(0)})


@pytest.mark.parametrize("away", [timedelta(seconds=10), -timedelta(days=3), timedelta(days=3)])
def test_once_is_once(away: timedelta) -> None:
    """A row with `run_at` has one run, be it still to come or long past, and no other, whatever else is edited."""
    now = datetime.now(UTC)
    job = a_job(run_at=now + away, created_at=now - HOUR)
    info = following(timetable(job))
    assert info is not None
    assert info.data_interval.end == now + away
    assert info.run_after <= now + away
    assert following(timetable(job), info.data_interval) is None
    edited = a_job(run_at=now + away, created_at=now - HOUR, schedule_changed_at=now + 5 * DAY)
    assert following(timetable(edited), info.data_interval) is None


def test_once_again_is_once_more() -> None:
    """A row whose `run_at` is moved after it has run is run again, then."""
    ran_at = AHEAD
    moved = a_job(run_at=AHEAD + DAY, created_at=LONG_AGO, schedule_changed_at=AHEAD + HOUR)
    info = following(timetable(moved), interval(ran_at - LEAD, ran_at))
    assert info is not None
    assert info.data_interval.end == AHEAD + DAY


def test_without_a_schedule_there_are_no_runs() -> None:
    """A row that runs by hand only has no next run."""
    assert following(timetable(a_job())) is None


def test_a_schedule_that_has_ended_makes_no_more_runs() -> None:
    """`ends_at` is the end: no run is made for an instant on or after it."""
    job = a_job(every=HOUR, created_at=AHEAD, starts_at=AHEAD + HOUR, ends_at=AHEAD + 3 * HOUR)
    assert [info.data_interval.end for info in runs(timetable(job))] == [AHEAD + HOUR, AHEAD + 2 * HOUR]


# -- as Airflow handles it ---------------------------------------------------------------------------------------------

instants = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))


@given(
    when=st.one_of(
        slow,
        st.builds(lambda us: {"every": timedelta(microseconds=us)}, st.integers(1_000_000, 10**13)),
        instants.map(lambda at: {"run_at": at}),
        st.just({}),
    ),
    bounds=st.lists(instants, min_size=2, max_size=2, unique=True).map(sorted),
    jitter=st.integers(0, 10**11).map(lambda us: timedelta(microseconds=us)),
    lead=leads,
)
@settings(max_examples=100, deadline=None)
def test_a_timetable_survives_the_way_into_the_database(
    when: dict[str, object], bounds: list[datetime], jitter: timedelta, lead: timedelta
) -> None:
    """What is read back is what was written, to the microsecond."""
    job = a_job(5, created_at=bounds[0], starts_at=bounds[0], ends_at=bounds[1], jitter=jitter, **when)
    table = timetable(job, lead)
    again = ShiftTimetable.deserialize(table.serialize())
    assert again.schedule == table.schedule
    assert (again.changed_at, again.lead, again.length) == (table.changed_at, table.lead, table.length)
    assert again.serialize() == table.serialize()


@pytest.mark.usefixtures("ours")
def test_airflow_reads_the_timetable_back() -> None:
    """The plugin registers the timetable, so that every component can read a DAG that another one wrote."""
    job = a_job(cron="30 0 9 * * mon-fri", timezone="Europe/Berlin", created_at=AHEAD)
    dag = DagSerialization.from_dict(DagSerialization.to_dict(build(job)))
    assert isinstance(dag.timetable, ShiftTimetable)
    assert dag.timetable.schedule == job.schedule
    assert dag.timetable.summary == "cron 30 0 9 * * mon-fri (Europe/Berlin)"


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_airflow_walks_from_run_to_run(zone: str) -> None:
    """The scheduler hands over pendulum's datetimes, in any zone, and gets the next run in UTC."""
    job = a_job(cron="30 2 * * *", timezone="Europe/Berlin", created_at=AHEAD)
    dag = DagSerialization.from_dict(DagSerialization.to_dict(build(job)))
    dues = list(islice(job.schedule.between(AHEAD, AHEAD + 400 * DAY), 120))  # into the summer time of 2100
    info = dag.next_dagrun_info(last_automated_run_info=None)
    for due in dues:
        assert info is not None
        assert info.data_interval.end == due
        assert info.run_after == due - LEAD
        assert isinstance(info.run_after, pendulum.DateTime)
        assert info.run_after.timezone_name == "UTC"
        start, end = (instant.in_timezone(zone) for instant in info.data_interval)
        info = dag.next_dagrun_info(last_automated_run_info=DagRunInfo(start, DataInterval(start, end)))


@pytest.mark.parametrize("schedule", [{"every": timedelta(seconds=1)}, {"cron": "0 * * * *"}])
def test_whoever_asks_for_all_runs_until_an_instant_gets_an_end(schedule: dict[str, Any]) -> None:
    """Airflow does when a person marks a run as failed: without an end, its API server never answers again."""
    now = datetime.now(timezone.utc)
    table = timetable(a_job(**schedule))
    until = TimeRestriction(earliest=None, latest=pendulum.instance(now + 2 * HOUR), catchup=True)
    last, found = None, 0
    while (info := table.next_dagrun_info(last_automated_data_interval=last, restriction=until)) is not None:
        last, found = info.data_interval, found + 1
        assert found <= 3
    assert found >= 1
