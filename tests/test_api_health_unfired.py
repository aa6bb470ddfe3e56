"""The oldest occurrence that was due and has not begun: what jobs owe, and what they do not."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from include.shifts.unfired import GRACE, Unfired, UnfiredWatch
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.unfired_jobs import HOUR, MINUTE, NOW, account, old_job

pytestmark = pytest.mark.xdist_group("api")


def unfired(db: DictConnection, ledger_days: int = 30) -> Unfired | None:
    return UnfiredWatch(ledger_days).oldest(db)


@pytest.mark.parametrize(
    "columns",
    [
        {"every": "1 minute"},
        {"every": "10 seconds"},
        {"every": "3 minutes", "every_mode": "fixed_delay"},
        {"cron": "* * * * *"},
        {"cron": "*/5 * * * * *"},
        {"run_at": NOW - 5 * MINUTE},
        {"every": "10 minutes", "jitter": "1 minute"},
        {"every": "1 minute", "paused_until": NOW - 5 * MINUTE},
    ],
)
def test_what_was_due_and_is_not_in_the_ledger_is_found(db: DictConnection, columns: dict[str, Any]) -> None:
    """Whatever the schedule: the first that is owed, at its own instant; in the ledger, it is owed no more."""
    job_id = old_job(db, **columns)
    found = unfired(db)
    assert found is not None
    assert found.job_id == job_id
    assert found.late_seconds > 30
    begin = NOW - (5 * MINUTE if isinstance(columns.get("paused_until"), datetime) else 2 * HOUR)
    assert begin <= found.due <= begin + 2 * HOUR - GRACE
    account(db, job_id, datetime.now(timezone.utc))
    assert unfired(db) is None


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"every": "1 minute", "is_active": False},
        {"every": "1 minute", "paused_until": NOW + HOUR},
        {"every": "1 minute", "error": "it cannot run"},
        {"every": "1 minute", "ends_at": NOW - 3 * HOUR},
        {"every": "1 minute", "starts_at": NOW + HOUR},
        {"every": "5 hours", "starts_at": NOW - 4 * HOUR},
        {"run_at": NOW + HOUR},
        {"run_at": NOW - 3 * HOUR},
        {"cron": "61 * * * *"},
        {"cron": "* * * * *", "timezone": "Etc/Unknown-To-Python"},
        {"every": "1 hour", "created_at": "0001-01-01"},
    ],
)
def test_what_owes_nothing_is_left_in_peace(db: DictConnection, columns: dict[str, Any]) -> None:
    """Paused, broken, by hand, before its start or after its end; rows by plain SQL that make no sense harm nobody."""
    db.execute("alter table job disable trigger job_before_change")
    old_job(db, **{"schedule_changed_at": NOW, **columns})
    db.execute("alter table job enable trigger job_before_change")
    assert unfired(db) is None


def test_the_oldest_of_all_is_told(db: DictConnection) -> None:
    """Whichever job owes it; what is as old as the ledger is not looked for."""
    old_job(db, every="1 minute")
    oldest = old_job(db, since=50 * HOUR, run_at=NOW - 40 * HOUR)
    found = unfired(db)
    assert found is not None
    assert (found.job_id, found.due) == (oldest, NOW - 40 * HOUR)
    found = unfired(db, ledger_days=1)
    assert found is not None
    assert found.job_id != oldest


def test_what_fell_due_during_a_pause_is_not_owed(db: DictConnection) -> None:
    """A job that was resumed owes what is due from then on; an edit of something else pardons nothing."""
    paused = old_job(db, every="1 minute")
    db.execute("update job set is_active = false where id = %s", (paused,))
    db.execute("update job set is_active = true where id = %s", (paused,))
    assert unfired(db) is None
    edited = old_job(db, every="1 minute")
    db.execute("update job set timeout = '10 seconds' where id = %s", (edited,))
    found = unfired(db)
    assert found is not None
    assert found.job_id == edited


def test_a_fixed_delay_is_counted_from_the_end_of_the_last(db: DictConnection) -> None:
    """While that runs nothing is owed; then `every` after its end."""
    job_id = old_job(db, every="30 minutes", every_mode="fixed_delay")
    account(db, job_id, NOW - HOUR, status="running", finished_at=None)
    assert unfired(db) is None
    db.execute("update execution set status = 'success', finished_at = %s", (NOW - 2 * MINUTE,))
    assert unfired(db) is None
    db.execute("update execution set finished_at = %s", (NOW - 45 * MINUTE,))
    found = unfired(db)
    assert found is not None
    assert found.due == NOW - 15 * MINUTE


def test_what_runs_by_hand_fires_nothing_that_was_due(db: DictConnection) -> None:
    """An execution by hand does not hide that nobody fires the schedule."""
    job_id = old_job(db, every="1 minute")
    account(db, job_id, NOW, origin="manual")
    assert unfired(db) is not None


@pytest.mark.parametrize("hours", [1, 4, 8, 12, 16, 20, 23])
def test_jitter_is_waited_for(db: DictConnection, hours: int) -> None:
    """An occurrence is owed from its own instant on, and not from that of the schedule."""
    due = NOW - hours * HOUR
    job_id = old_job(db, every="1 day", starts_at=due, since=30 * HOUR, jitter="1 day")
    row = db.execute("select * from job where id = %s", (job_id,)).fetchone()
    assert row is not None
    instant = due + job_from_row(row).schedule.delay(due)
    found = {one.due for one in UnfiredWatch(30).all(db, NOW)}
    assert found == ({instant} if instant < NOW - GRACE else set())


def test_what_is_known_to_be_quiet_is_looked_at_again_when_it_is_edited(
    db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that goes on sees a job that was not due come to owe something by an edit, and what is new."""
    monkeypatch.setattr("include.shifts.unfired._BELIEVED_SECONDS", 0.0)
    watch = UnfiredWatch(30)
    quiet = old_job(db, cron="0 0 1 1 *", since=MINUTE)
    assert watch.oldest(db) is None
    assert watch.oldest(db) is None
    db.execute("alter table job disable trigger user")
    db.execute(
        "update job set cron = '* * * * *', schedule_changed_at = %s, updated_at = %s, revision = revision + 1"
        " where id = %s",
        (NOW - HOUR, NOW - HOUR, quiet),
    )
    db.execute("alter table job enable trigger user")
    found = watch.oldest(db)
    assert found is not None
    assert found.job_id == quiet
    account(db, quiet, datetime.now(timezone.utc))
    assert watch.oldest(db) is None


def test_whoever_asks_it_looks_no_more_than_every_15_seconds(db: DictConnection) -> None:
    """What was found is believed for a while."""
    watch = UnfiredWatch(30)
    assert watch.oldest(db) is None
    old_job(db, every="1 minute")
    assert watch.oldest(db) is None
    assert unfired(db) is not None


def test_of_many_jobs_those_that_are_well_are_looked_at_in_turn(db: DictConnection) -> None:
    """Beyond so many, one that owed nothing is found later; what is known to be owed is looked at each time."""
    ids = [old_job(db, every="1 minute") for _ in range(4)]
    watch = UnfiredWatch(30, in_turn=1)
    now = datetime.now(timezone.utc)
    for job_id in ids[1:]:
        account(db, job_id, now)
    assert [found.job_id for found in watch.all(db, now)] == ids[:1]
    soon, late = now + 2 * MINUTE, now + 8 * MINUTE
    assert ids[0] in [found.job_id for found in watch.all(db, soon)]
    assert sorted(found.job_id for found in watch.all(db, late)) == ids
