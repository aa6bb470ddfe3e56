"""The watchdog and the system: disks, components, chores, dead letters; and when its own checks go wrong."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigError, RetryableError
from include.settings import Settings, settings
from include.shifts.disks import full_disks
from include.shifts.watchdog import Watchdog
from include.store.db import DictConnection
from tests.health_rows import sender
from tests.log_rows import add_connector, add_workflow
from tests.shift_stage import opened_post
from tests.test_store import add_job, one
from tests.unfired_jobs import account, old_job
from tests.watched import (
    COMPONENTS,
    MINUTE,
    WEBHOOK,
    aged,
    beat,
    now,
    open_warnings,
    sleepy_post,
    tell_owner,
    told,
    watching,
)

SYSTEM = {"notify": json.dumps(WEBHOOK)}


def letters(db: DictConnection, job_id: int, count: int) -> None:
    for number in range(count):
        died = now() - timedelta(seconds=number + 1)
        account(db, job_id, died, status="failed", finished_at=died, origin="manual")


async def test_a_full_disk_is_one_warning(
    database_url: str, db: DictConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies on it; told to MILLRACE_NOTIFY; over when there is room."""
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    post = sleepy_post(database_url, disk_free_gib=1_000_000, **SYSTEM)
    full, roomy = Watchdog(post), Watchdog(sleepy_post(database_url, **SYSTEM))
    assert await full.look(now()) >= 1
    count = len(open_warnings(db))
    assert await full.look(now()) == count
    assert {(what, owner) for what, _, owner in open_warnings(db)} == {("disk", None)}
    assert len(told(db)) == count
    assert await roomy.look(now()) == 0
    assert [event for event, _ in told(db)] == ["attention"] * count + ["recovery"] * count


def test_a_disk_is_named_once_and_what_cannot_be_seen_is_left_out(tmp_path: Path) -> None:
    """Two folders on one disk are one problem; a folder that is not there is none."""
    usage = shutil.disk_usage(tmp_path)
    paths = [None, str(tmp_path / "not there"), str(tmp_path), str(tmp_path.parent)]
    [found] = full_disks(paths, now(), least_percent=0, least_bytes=usage.total)
    assert str(tmp_path) in found.text
    assert len(full_disks(paths, now(), least_percent=100, least_bytes=0)) == 1
    assert full_disks(paths, now(), least_percent=0, least_bytes=0) == []


async def test_another_machines_disk_is_judged_by_that_machine(database_url: str, db: DictConnection) -> None:
    """Its warning stays although ours are well, until it has not been heard of for an hour."""
    db.execute(
        "insert into warning (what, subject, name, since, text, first_seen_at, last_seen_at)"
        " select 'disk', 'elsewhere:/logs', 'disk of /logs', t, 'full', t, t from (select now() as t) as at"
    )
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 1
        assert await watchdog.look(now() + 61 * MINUTE) == 0


@pytest.mark.fresh_database
async def test_a_silent_component_is_one_warning_and_hushes_those_of_rows(
    database_url: str, db: DictConnection
) -> None:
    """The scheduler's silence is told, and not that of a thousand jobs that it causes."""
    db.execute(COMPONENTS.encode())
    beat(db)
    job_id = old_job(db, every="1 minute")
    async with watching(database_url, **SYSTEM) as watchdog:
        beat(db, SchedulerJob=1)
        assert await watchdog.look(now()) == 1, "silent for a minute only: the job's"
        beat(db, SchedulerJob=3)
        old_job(db, every="1 minute")
        assert await watchdog.look(now()) == 2
        assert open_warnings(db) == [("component", "scheduler", None), ("unfired", f"job:{job_id}", "admin")]
        assert "no runs are made" in one(db, "select detail from notice")["detail"]
        beat(db)
        assert await watchdog.look(now()) == 1
        assert await watchdog.look(now() + 4 * MINUTE) == 1, "what was not fired meanwhile is made up for"
        assert await watchdog.look(now() + 6 * MINUTE) == 2
        assert [subject for _, subject, _ in open_warnings(db)] == [f"job:{job_id}", f"job:{job_id + 1}"]
    assert told(db) == [("attention", "the scheduler"), ("recovery", "the scheduler")]


async def test_a_chore_that_fails_or_is_not_done_is_one_warning(database_url: str, db: DictConnection) -> None:
    """By its last end; over when it is done; one that there is no more is forgotten."""
    insert = "insert into upkeep (chore, begun_at, ok_at, error) values (%s, %s, %s, %s)"
    db.execute(insert, ("prunes", now(), now(), None))
    db.execute(insert, ("fails", now(), now() - 50 * MINUTE, "no space left"))
    db.execute(insert, ("hangs", now() - 200 * MINUTE, now() - 260 * MINUTE, None))
    db.execute(insert, ("former", now() - timedelta(days=2), now() - timedelta(days=2), None))
    try:
        async with watching(database_url, **SYSTEM) as watchdog:
            assert await watchdog.look(now()) == 2
            assert open_warnings(db) == [("chore", "fails", None), ("chore", "hangs", None)]
            assert "no space left" in one(db, "select text from warning where subject = 'fails'")["text"]
            db.execute("update upkeep set begun_at = now(), ok_at = now(), error = null")
            assert await watchdog.look(now()) == 0
    finally:
        db.execute("delete from upkeep")
    assert sorted(told(db)) == sorted(
        [(event, f"upkeep: {chore}") for event in ("attention", "recovery") for chore in ("fails", "hangs")]
    )


async def test_a_growing_list_of_dead_letters_is_one_warning_of_its_owner(
    database_url: str, db: DictConnection
) -> None:
    """Ten within an hour that nobody has seen to, of all sources; over when somebody does, or no more come."""
    tell_owner(db)
    job_id = add_job(db, owner="ann")
    letters(db, job_id, 8)
    db.execute(
        "insert into timer (owner, url, seconds, status, finished_at)"
        " values ('ann', 'http://127.0.0.1:9/', 1, 'failed', now())"
    )
    workflow_id = add_workflow(db, add_connector(db), "http://127.0.0.1:9/", owner="ann")
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 0, "nine"
        insert = "insert into dead_letter (workflow_id, connector_id, position, error) select %s, connector_id, 1, 'no'"
        db.execute(f"{insert} from workflow where id = %s", (workflow_id, workflow_id))
        assert await watchdog.look(now()) == 1
        assert open_warnings(db) == [("dead_letters", "ann", "ann")]
        letters(db, add_job(db, "bob's", owner="bob"), 10)
        assert await watchdog.look(now()) == 2
        db.execute("update execution set discarded_at = now() where job_id = %s", (job_id,))
        assert await watchdog.look(now()) == 1
        assert await watchdog.look(now() + 61 * MINUTE) == 0
    assert told(db) == [("attention", "dead letters"), ("recovery", "dead letters")]


async def test_dead_letters_of_jobs_that_are_gone_are_the_systems(database_url: str, db: DictConnection) -> None:
    """Nobody owns them, so whoever runs the system is told."""
    job_id = add_job(db, owner="ann")
    letters(db, job_id, 10)
    db.execute("delete from job where id = %s", (job_id,))
    async with watching(database_url, **SYSTEM) as watchdog:
        assert await watchdog.look(now()) == 1
    assert open_warnings(db) == [("dead_letters", "", None)]
    row = one(db, "select table_name, row_id, owner, channel from notice")
    assert row == {"table_name": "warning", "row_id": 1, "owner": "", "channel": WEBHOOK}


async def test_two_watchdogs_at_once_make_one_warning(database_url: str, db: DictConnection) -> None:
    """However many see the same at the same moment, it is one warning and one notice."""
    tell_owner(db)
    for number in range(20):
        old_job(db, name=f"job {number}", owner="ann", every="1 minute")
    async with watching(database_url) as one_of_them, watching(database_url) as another:
        db.execute("delete from warning")
        db.execute("delete from notice")
        await asyncio.gather(*(dog.look(now()) for dog in (one_of_them, another) * 3))
    assert len(open_warnings(db)) == 20
    assert [event for event, _ in told(db)] == ["attention"] * 20


@pytest.mark.fresh_database
async def test_a_check_that_goes_wrong_hides_no_other(database_url: str, db: DictConnection) -> None:
    """Its own warnings stay as they are; the others begin and end as always."""
    workflow_id = add_workflow(db, add_connector(db), "http://127.0.0.1:9/")
    aged(db, "workflow_progress", workflow_id, stopped_at=1, error="no")
    job_id = old_job(db, every="1 minute")
    async with watching(database_url) as watchdog:
        assert await watchdog.look(now()) == 2
        db.execute("alter table workflow_progress rename to elsewhere")
        account(db, job_id, now())
        assert await watchdog.look(now()) == 1
        assert open_warnings(db) == [("stopped", f"workflow:{workflow_id}", "admin")]
        old_job(db, every="1 minute")
        assert await watchdog.look(now()) == 2


async def test_without_a_database_it_says_so_and_goes_on_later(database_url: str, db: DictConnection) -> None:
    """The look fails with what there is to do about it: try again."""
    watchdog = Watchdog(sleepy_post("postgresql://127.0.0.1:9/gone"))
    with pytest.raises(RetryableError):
        await watchdog.look(now())


async def test_a_warning_is_sent_as_any_other_notice(database_url: str, db: DictConnection) -> None:
    """From the watchdog to the receiver: what needs attention, and what to do."""
    async with sender(database_url, notice_gather_seconds=0) as (notices, server):
        tell_owner(db, payload={"url": server.url("/told"), "body": {"text": "{{ text }}"}})
        job_id = old_job(db, name="quiet", owner="ann", every="1 minute")
        async with watching(database_url) as watchdog:
            await watchdog.look(now())
        for _ in range(2):  # the first makes the channel known
            await asyncio.gather(*await notices.send())
    [request] = server.received
    said = json.loads(request.body)["text"]
    assert said.startswith("Millrace: quiet: needs attention: it was due at ")
    assert f"./millrace jobs why {job_id}" in said


async def test_what_is_long_over_is_forgotten(database_url: str, db: DictConnection) -> None:
    """As long as the ledger looks back."""
    db.execute(
        "insert into warning (what, subject, name, since, text, first_seen_at, last_seen_at, ended_at) select 'disk',"
        " 'a:/' || d, 'disk', t, 'full', t, t, t from (values (1), (40)) as v(d), lateral (select now() - d * interval"
        " '1 day' as t) as at"
    )
    async with opened_post(database_url) as post:
        await Watchdog(post).look(now())
    assert [row["subject"] for row in db.execute("select subject from warning where ended_at < now()")] == ["a:/1"]


@pytest.mark.parametrize(
    "notify",
    ["", "{", "[]", '{"kind": 1}', '{"payload": {}}', '{"kind": "slack", "on": ["nonsense"]}', '{"kind": "x", "a": 1}'],
)
def test_a_notify_that_makes_no_sense_is_refused(notify: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings say which variable is wrong, when they are read."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql:///")
    monkeypatch.setenv("MILLRACE_NOTIFY", notify)
    settings.cache_clear()
    try:
        with pytest.raises(ConfigError, match="MILLRACE_NOTIFY"):
            settings()
    finally:
        settings.cache_clear()


def test_a_notify_is_kept_out_of_what_is_logged() -> None:
    """Its payload may be an address that is a secret."""
    made: Any = Settings(database_url="postgresql:///", notify=json.dumps(WEBHOOK))
    assert "127.0.0.1" not in repr(made)
    assert json.loads(made.notify)["payload"] == WEBHOOK["payload"]
