"""The numbers over HTTP: what there is, what became of it and how late, what fails; of one's own rows only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.lateness import quantile
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, Api, api_of, ok, problem
from tests.log_rows import add_connector, add_workflow, append
from tests.test_store import add_job
from tests.timer_rows import add_timer

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
RANGE = {"since": "2026-01-01T10:00:00Z", "until": "2026-01-01T14:00:00Z"}
NEVER = {"count": 0, "mean": None, "p50": None, "p99": None}


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def executed(db: DictConnection, job: int, status: str, at: datetime, late: float = 0.0, **columns: Any) -> None:
    """An execution that began so many seconds late and has ended so."""
    given = {
        "attempt": 1,
        "started_at": at + timedelta(seconds=late),
        "finished_at": at,
        "origin": "schedule",
        **columns,
    }
    names = ", ".join(given)
    marks = ", ".join(f"%({name})s" for name in given)
    statement = (
        f"insert into execution (job_id, scheduled_for, status, {names}) values (%(job)s, %(at)s, %(status)s, {marks})"
    )
    db.execute(statement.encode(), {"job": job, "at": at, "status": status, **given})


def stats(api: Api, **query: Any) -> Any:
    return ok(api.get("/stats", **query))


def test_without_rows_everything_is_nothing(api: Api) -> None:
    """There are numbers from the first day on."""
    found = stats(api)
    assert found["jobs"] == {"total": 0, "active": 0, "paused": 0, "failing": 0, "error": 0}
    assert found["executions"] == {"by_status": {}, "attempts": 0, "lateness": NEVER}
    assert found["ever"] == {"executions": {}, "timers": {}}
    assert (found["next_due"], found["failing"], found["step"]) == (None, [], "hour")
    assert found["dead_letters"] == {"executions": 0, "timers": 0, "records": 0}
    assert len(found["series"]) in (24, 25)


def test_rows_are_counted_by_how_they_are(api: Api, db: DictConnection) -> None:
    """Each is active, paused or an error; what fails is active as well."""
    ids = [add_job(db, f"job {n}") for n in range(5)]
    db.execute("update job set is_active = false where id = %s", (ids[0],))
    db.execute("update job set paused_until = now() + interval '1 h' where id = %s", (ids[1],))
    db.execute("update job set error = 'bad' where id = %s", (ids[2],))
    db.execute("insert into job_health (job_id, failures, failing_since) select unnest(%s::bigint[]), 2, now()", (ids,))
    connector = add_connector(db)
    add_workflow(db, connector, URL)
    found = stats(api)
    assert found["jobs"] == {"total": 5, "active": 2, "paused": 2, "failing": 2, "error": 1}
    assert (found["connectors"]["active"], found["workflows"]["active"]) == (1, 1)


def test_what_was_due_in_the_range_is_counted(api: Api, db: DictConnection) -> None:
    """By status, with attempts and lateness, as a whole and hour by hour; the empty hours are there, too."""
    job = add_job(db)
    for minute in range(60):
        executed(db, job, "success", NOON + timedelta(minutes=minute), 0.004)
    executed(db, job, "failed", NOON + timedelta(hours=1), 0.07, attempt=3)
    executed(db, job, "missed", NOON + timedelta(hours=1, seconds=1), attempt=0, started_at=None)
    executed(db, job, "success", NOON + timedelta(hours=2))
    found = stats(api, **RANGE)
    assert found["executions"]["by_status"] == {"failed": 1, "missed": 1, "success": 60}
    assert found["executions"]["attempts"] == 63
    lateness = found["executions"]["lateness"]
    assert (lateness["count"], lateness["mean"]) == (61, pytest.approx((60 * 0.004 + 0.07) / 61))
    assert lateness["p50"] == pytest.approx(0.01 * 30.5 / 60)
    assert lateness["p99"] == pytest.approx(0.05 + 0.05 * 0.39)
    points = {point["at"]: point["executions"] for point in found["series"]}
    assert points == {
        "2026-01-01T10:00:00Z": {},
        "2026-01-01T11:00:00Z": {},
        "2026-01-01T12:00:00Z": {"success": 60},
        "2026-01-01T13:00:00Z": {"failed": 1, "missed": 1},
    }
    assert found["series"][0]["lateness"] == NEVER
    assert found["series"][3]["lateness"]["mean"] == pytest.approx(0.07)
    assert found["ever"]["executions"] == {"failed": 1, "missed": 1, "success": 61}
    minutes = stats(api, since="2026-01-01T12:58:30Z", until="2026-01-01T13:00:30Z", step="minute")
    assert [point["executions"] for point in minutes["series"]] == [
        {"success": 1},
        {"success": 1},
        {"failed": 1, "missed": 1},
    ]
    days = stats(api, **RANGE, step="day")
    assert [point["executions"] for point in days["series"]] == [{"failed": 1, "missed": 1, "success": 61}]


def test_timers_are_counted_beside(api: Api, db: DictConnection) -> None:
    """Those that wait, those that failed, and what became of those in the range."""
    add_timer(db, URL, seconds=60)
    for status in ("fired", "failed"):
        timer = add_timer(db, URL, due_at=NOON)
        db.execute(
            "update timer set status = %s, attempt = 1, fired_at = due_at + interval '2 s', finished_at = now()"
            " where id = %s",
            (status, timer),
        )
    found = stats(api, **RANGE)
    assert found["timers"] == {"pending": 1, "firing": 0, "failed": 1}
    assert found["sent_timers"]["by_status"] == {"failed": 1, "fired": 1}
    assert found["sent_timers"]["lateness"]["mean"] == pytest.approx(2.0)
    assert found["series"][2]["timers"] == {"failed": 1, "fired": 1}
    assert found["dead_letters"]["timers"] == 1
    assert found["next_due"]["table"] == "timer"


def test_what_fails_and_what_waits_for_a_person(api: Api, db: DictConnection) -> None:
    """What has failed longest comes first; dead letters are those that nobody has discarded or redrives."""
    new, old = add_job(db, "new"), add_job(db, "old")
    db.execute(
        "insert into job_health (job_id, failures, failing_since, last_error) values"
        " (%s, 1, now(), 'x'), (%s, 9, now() - interval '1 day', 'y')",
        (new, old),
    )
    connector = add_connector(db)
    db.execute("update connector set failures = 5, failing_since = now() - interval '1 h', last_error = 'z'")
    for second, columns in enumerate(({}, {"discarded_at": NOON}, {"redrive_at": NOON})):
        executed(db, new, "failed", NOON + timedelta(seconds=second), **columns)
    workflow = add_workflow(db, connector, URL)
    db.execute(
        "insert into dead_letter (workflow_id, connector_id, position, error) values (%s, %s, 1, 'e')",
        (workflow, connector),
    )
    db.execute(
        "update workflow_progress set stopped_at = 1, error = 'w', updated_at = now() - interval '2 h'"
        " where workflow_id = %s",
        (add_workflow(db, connector, URL, "halted"),),
    )
    for name in ("broken", "broken too"):
        db.execute("update job set error = 'no such kind' where id = %s", (add_job(db, name),))
    db.execute("insert into job_health (job_id, failures) select id, 3 from job where name = 'broken too'")
    found = stats(api)
    assert [(row["table"], row["name"], row["failures"], row["error"]) for row in found["failing"]] == [
        ("job", "old", 9, "y"),
        ("workflow", "halted", 1, "w"),
        ("connector", "source", 5, "z"),
        ("job", "new", 1, "x"),
        ("job", "broken", 0, "no such kind"),
        ("job", "broken too", 0, "no such kind"),
    ]
    assert found["dead_letters"] == {"executions": 1, "timers": 0, "records": 1}


def test_lag_is_what_is_ahead(api: Api, db: DictConnection) -> None:
    """Of workflows: records and seconds; of connectors: for how long a pull is overdue."""
    connector = add_connector(db)
    append(db, connector, [{}] * 3)
    add_workflow(db, connector, URL, "a")
    done = add_workflow(db, connector, URL, "b")
    db.execute("update workflow_progress set position = 2 where workflow_id = %s", (done,))
    add_connector(db, "pulled", kind="feed", every="1 minute")
    db.execute("update connector set pulled_at = now() - interval '3 minutes' where name = 'pulled'")
    found = stats(api)
    assert (found["workflow_lag"]["records_max"], found["workflow_lag"]["records_sum"]) == (3, 4)
    assert found["workflow_lag"]["seconds_sum"] >= found["workflow_lag"]["seconds_max"] > 0
    assert 120 <= found["pull_lag"]["seconds_max"] < 180


@pytest.mark.parametrize("first", ["cron", "every", "run_at"])
def test_next_due_is_the_first_of_all(api: Api, db: DictConnection, first: str) -> None:
    """Whatever kind of schedule it has; rows that are paused, or cannot run, are not asked."""
    soon = {"cron": "* * * * * *", "every": "1 second", "run_at": datetime.now(timezone.utc) + timedelta(seconds=50)}
    far = {"cron": "0 0 1 1 *", "every": "300 days", "run_at": datetime(2100, 1, 1, tzinfo=timezone.utc)}
    for name, value in far.items():
        add_job(db, f"far {name}", **{name: value})
    job = add_job(db, "soon", **{first: soon[first]})
    if first == "cron":
        add_job(db, "also at that time", cron=soon["cron"])
    add_job(db, "paused", every="1 second", is_active=False)
    add_job(db, "broken", cron="99 99 * * *")
    add_job(db, "beyond", every="1 second", starts_at="8999-01-01 00:00+00")
    found = stats(api)["next_due"]
    assert (found["table"], found["id"], found["name"]) == ("job", job, "soon")


def test_others_do_not_count(api: Api, db: DictConnection) -> None:
    """A caller's numbers are those of his rows; an admin's are those of all."""
    job = add_job(db, owner="alice", every="1 second")
    executed(db, job, "failed", NOON, 0.004)
    db.execute("insert into job_health (job_id, failures, failing_since) values (%s, 1, now())", (job,))
    add_timer(db, URL, owner="alice", seconds=60)
    empty = stats(api.as_(BOB), **RANGE)
    everything = stats(api, **RANGE)
    assert stats(api.as_(ALICE), **RANGE) | {"next_due": 0} == everything | {"next_due": 0}
    assert everything["dead_letters"]["executions"] == everything["jobs"]["failing"] == 1
    assert (empty["jobs"]["total"], empty["executions"]["by_status"], empty["ever"]["executions"]) == (0, {}, {})
    assert (empty["timers"]["pending"], empty["next_due"], empty["failing"]) == (0, None, [])
    assert empty["dead_letters"] == {"executions": 0, "timers": 0, "records": 0}


def test_a_row_that_has_changed_hands_leaves_no_debt(api: Api, db: DictConnection) -> None:
    """What its new owner redrives was his predecessor's failure: nobody has fewer than none."""
    job = add_job(db, owner="alice")
    executed(db, job, "failed", NOON, 0.004)
    db.execute("update job set owner = 'bob'")
    db.execute("update execution set status = 'running', finished_at = null, base_attempt = 1, attempt = 2")
    assert stats(api.as_(BOB), **RANGE)["executions"]["by_status"] == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since: it is not before until"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z", "step": "minute"}, "more than 1500 points"),
        ({"since": "1970-01-01T00:00:00Z", "step": "day"}, "more than 1500 points"),
        ({"step": "week"}, "step"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(api: Api, query: dict[str, str], said: str) -> None:
    """With what is wrong about it."""
    assert said in problem(api.get("/stats", **query), 422)


def test_the_ends_of_time_are_a_range(api: Api) -> None:
    """The first and the last instant that there are can be asked for."""
    for until in ("1970-01-01T00:00:00Z", "8999-12-31T23:59:59Z"):
        assert stats(api, until=until)["executions"]["by_status"] == {}


@given(st.lists(st.floats(0, 400), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    """The estimate is off by no more than the width of a bucket; beyond the last bound it is that bound."""
    bounds = [0.01, 0.1, 1.0, 10.0, 300.0]
    counts: dict[int, int] = {}
    for value in values:
        bucket = 1 + sum(bound <= value for bound in bounds)
        counts[bucket] = counts.get(bucket, 0) + 1
    rank = q * len(values)
    true = sorted(values)[max(int(-(-rank // 1)) - 1, 0)]
    bucket = sum(bound <= true for bound in bounds)
    lower, upper = (0.0, *bounds)[bucket], (*bounds, 300.0)[bucket]
    found = quantile(q, counts, bounds)
    assert found is not None
    assert lower <= found <= upper + 1e-9
