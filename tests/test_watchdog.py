"""The watchdog and rows that have gone quiet: each is one warning, told once, and over when they go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.shifts.watchdog import Watchdog
from include.store.db import DictConnection
from tests.log_rows import add_connector, add_workflow, append
from tests.test_store import one
from tests.unfired_jobs import account, old_job
from tests.watched import MINUTE, aged, now, open_warnings, sleepy_post, tell_owner, told, watching

HOUR = timedelta(hours=1)


async def test_a_job_that_does_not_fire_is_one_warning(database_url: str, db: DictConnection) -> None:
    """Two intervals after what was due: one warning, told once, however often it is looked at; over when it fires."""
    tell_owner(db)
    job_id = old_job(db, name="quiet", owner="ann", every="10 minutes")
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 1
        assert await watchdog.look(now() + MINUTE) == 1
        assert open_warnings(db) == [("unfired", f"job:{job_id}", "ann")]
        assert told(db) == [("attention", "quiet")]
        assert f"jobs why {job_id}" in one(db, "select detail from notice")["detail"]
        account(db, job_id, now())
        assert await watchdog.look(now() + 2 * MINUTE) == 0
    assert told(db) == [("attention", "quiet"), ("recovery", "quiet")]
    row = one(db, "select since, notified_at, ended_at, last_seen_at from warning")
    assert row["since"] < row["notified_at"] < row["last_seen_at"] < row["ended_at"]


@pytest.mark.parametrize(
    ("columns", "late", "warns"),
    [
        ({"every": "10 minutes"}, 19 * MINUTE, False),
        ({"every": "10 minutes"}, 31 * MINUTE, True),
        ({"every": "10 seconds"}, MINUTE, False),
        ({"every": "10 seconds"}, 3 * MINUTE, True),
        ({"cron": "*/10 * * * *"}, 19 * MINUTE, False),
        ({"cron": "*/10 * * * *"}, 45 * MINUTE, True),
        ({"cron": "0 0 * * *"}, 2 * 24 * HOUR - MINUTE, False),
        ({"cron": "0 0 * * *"}, 3 * 24 * HOUR + MINUTE, True),
        ({"run_at": now() - 3 * MINUTE}, 10 * MINUTE, True),
        ({"every": "10 minutes", "is_active": False}, HOUR, False),
        ({"every": "10 minutes", "paused_until": now() + HOUR}, HOUR, False),
        ({}, HOUR, False),
    ],
)
async def test_two_intervals_are_waited_for(
    database_url: str, db: DictConnection, columns: dict[str, Any], late: timedelta, warns: bool
) -> None:
    """By any schedule, and two minutes at least; what is paused, or run by hand, is not waited for."""
    job_id = old_job(db, **{"created_at": now() - late, **columns})
    aged(db, "job", job_id, schedule_changed_at=now() - late, updated_at=now() - late)
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == int(warns)


async def test_a_connector_that_does_not_pull_is_one_warning(database_url: str, db: DictConnection) -> None:
    """Two intervals without a pull that was completed; its own notify is told; over with the next pull."""
    notify = '{"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/own"}}'
    asleep = add_connector(db, "asleep", kind="feed", every="10 minutes", owner="ann", notify=notify)
    rows: dict[str, dict[str, Any]] = {
        "in time": {"pulled_at": now() - 15 * MINUTE},
        "failing": {"failures": 1},
        "waits": {"not_before": now() + HOUR},
        "paused": {"is_active": False},
        "broken": {"error": "it cannot run"},
        "by hand": {"every": None},
        "pushed": {"kind": "webhook"},
        "at it": {},
    }
    for name, columns in rows.items():
        connector_id = add_connector(db, name, kind="feed", every="10 minutes")
        aged(db, "connector", connector_id, **{"updated_at": now() - HOUR, "pulled_at": now() - HOUR, **columns})
        if name == "at it":
            lease = (
                "with l as (insert into lease values (gen_random_uuid(), now() + interval '1 minute') returning owner)"
            )
            db.execute(
                f"{lease} insert into turn (table_name, row_id, owner, claim) select 'connector', %s, owner, 1 from l",
                (connector_id,),
            )
    aged(db, "connector", asleep, updated_at=now() - HOUR, pulled_at=now() - 21 * MINUTE)
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 1
        assert open_warnings(db) == [("unpulled", f"connector:{asleep}", "ann")]
        db.execute("update connector set pulled_at = now() where id = %s", (asleep,))
        assert await watchdog.look(now()) == 0
    assert told(db) == [("attention", "asleep"), ("recovery", "asleep")]


async def test_a_workflow_that_does_not_move_is_one_warning(database_url: str, db: DictConnection) -> None:
    """Records wait and the watermark stands still for two intervals, both; over when it moves."""
    tell_owner(db)
    connector_id = add_connector(db)
    append(db, connector_id, [1, 2])
    db.execute("update record set created_at = now() - interval '1 hour'")
    rows: dict[str, dict[str, Any]] = {
        "stuck": {},
        "moves": {"updated_at": now()},
        "done": {"position": 2},
        "not begun": {"begun": False},
    }
    ids = {}
    for name, columns in rows.items():
        ids[name] = add_workflow(db, connector_id, "http://127.0.0.1:9/", name, owner="ann")
        aged(db, "workflow", ids[name], updated_at=now() - HOUR)
        aged(db, "workflow_progress", ids[name], **{"updated_at": now() - HOUR, **columns})
    paused = add_workflow(db, connector_id, "http://127.0.0.1:9/", "paused", is_active=False)
    aged(db, "workflow", paused, updated_at=now() - HOUR)
    aged(db, "workflow_progress", paused, updated_at=now() - HOUR)
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 1
        assert open_warnings(db) == [("stuck", f"workflow:{ids['stuck']}", "ann")]
        db.execute("update workflow_progress set position = 1, updated_at = now()")
        assert await watchdog.look(now()) == 0
        assert told(db) == [("attention", "stuck"), ("recovery", "stuck")]


async def test_a_new_record_does_not_make_an_idle_workflow_stuck(database_url: str, db: DictConnection) -> None:
    """What has nothing to do stands still for as long as it likes."""
    connector_id = add_connector(db)
    workflow_id = add_workflow(db, connector_id, "http://127.0.0.1:9/")
    aged(db, "workflow", workflow_id, updated_at=now() - HOUR)
    append(db, connector_id, [1])
    aged(db, "workflow_progress", workflow_id, updated_at=now() - HOUR)
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 0
        assert await watchdog.look(now() + 4 * MINUTE) == 1


async def test_a_workflow_that_has_stopped_is_one_warning(database_url: str, db: DictConnection) -> None:
    """At once, with its error; over when a person sees to it, or pauses it."""
    tell_owner(db)
    workflow_id = add_workflow(db, add_connector(db), "http://127.0.0.1:9/", owner="ann", on_error="stop")
    db.execute("update workflow_progress set stopped_at = 1, error = '410 Gone'")
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 1
        assert open_warnings(db) == [("stopped", f"workflow:{workflow_id}", "ann")]
        assert "410 Gone" in one(db, "select text from warning")["text"]
        db.execute("update workflow set is_active = false")
        assert await watchdog.look(now()) == 0
        db.execute("update workflow set is_active = true")
        assert await watchdog.look(now()) == 1
    assert told(db) == [("attention", "flow"), ("recovery", "flow"), ("attention", "flow")]


async def test_after_a_start_rows_are_given_time(database_url: str, db: DictConnection) -> None:
    """A watchdog that has just begun to look begins no warnings of rows, and ends those that are over."""
    first, second = (old_job(db, every="1 minute") for _ in range(2))
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 2
        account(db, second, now())
        old_job(db, every="1 minute")
        later = now() + 10 * MINUTE  # nobody has looked meanwhile
        account(db, second, later)
        assert await watchdog.look(later) == 1
        assert open_warnings(db)[0][1] == f"job:{first}"
        assert await watchdog.look(later + 3 * MINUTE) == 1
        assert await watchdog.look(later + 6 * MINUTE) == 3


async def test_a_new_shift_of_the_same_process_goes_on_watching(database_url: str, db: DictConnection) -> None:
    """However short shifts are, it has not just begun to look."""
    old_job(db, every="1 minute")
    post = sleepy_post(database_url)
    for minutes in (-5, -1):
        await Watchdog(post).look(now() + minutes * MINUTE)
    assert await Watchdog(post).look(now()) == 1


async def test_a_row_that_is_deleted_or_given_away_takes_its_warning_along(
    database_url: str, db: DictConnection
) -> None:
    """The warning is whose the row is; without the row there is none, and nobody is told that it recovered."""
    tell_owner(db)
    job_id = old_job(db, every="1 minute", owner="ann")
    async with watching(database_url) as watchdog:
        await watchdog.look(now())
        db.execute("update job set owner = 'bob' where id = %s", (job_id,))
        assert open_warnings(db) == [("unfired", f"job:{job_id}", "bob")]
        db.execute("delete from job where id = %s", (job_id,))
        assert open_warnings(db) == []
        assert await watchdog.look(now()) == 0
    assert [event for event, _ in told(db)] == ["attention"]


@pytest.mark.parametrize(
    ("on", "events"),
    [(["warning"], ["attention"]), (["recovery", "failure"], []), (["warning", "recovery"], ["attention", "recovery"])],
)
async def test_on_says_whether_it_is_told(
    database_url: str, db: DictConnection, on: list[str], events: list[str]
) -> None:
    """`warning` asks for the beginning, `recovery` for the end of what was told."""
    tell_owner(db, on=on)
    job_id = old_job(db, every="1 minute", owner="ann")
    async with watching(database_url) as watchdog:
        await watchdog.look(now())
        account(db, job_id, now())
        assert await watchdog.look(now()) == 0
    assert [event for event, _ in told(db)] == events
