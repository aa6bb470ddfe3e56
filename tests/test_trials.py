"""Trials on workers: each is taken once, by whoever comes in time, and what became of it is for its owner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from include.documents.trial import document
from include.model import Connection
from include.settings import Settings
from include.settings import settings as our_settings
from include.shifts import trial as shifts
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.store import trials
from include.store.db import DictConnection
from include.store.edits import Row
from tests.api_client import ALICE, BOB, api_of, ok, problem

PASSWORD = "tok-5f1e"
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def as_operators_set_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`shell` is allowed, and code of users is among the tests."""
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    monkeypatch.setenv("MILLRACE_USER_CODE", "tests")
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://127.0.0.1/nothing")
    our_settings.cache_clear()
    yield
    our_settings.cache_clear()


@asynccontextmanager
async def worker(database_url: str) -> AsyncIterator[Post]:
    """The post of a task that runs on a worker, where every connection has the same password."""

    async def find(conn_id: str) -> Connection:
        return Connection(conn_id, password=PASSWORD)

    post = Post(Settings(database_url=database_url), find, is_on_worker=True)
    await post.open()
    try:
        yield post
    finally:
        await post.close()


def add(db: DictConnection, kind: str = "shell", timeout: timedelta = HALF_A_MINUTE, **payload: Any) -> int:
    row = trials.add(db, "alice", kind, payload, timeout)
    assert row is not None
    return int(row["id"])


def read(db: DictConnection, trial_id: int) -> Row:
    row = trials.get(db, trial_id, "alice")
    assert row is not None
    return row


def shown(db: DictConnection, trial_id: int) -> dict[str, Any]:
    return document(read(db, trial_id), utcnow())


async def test_a_trial_runs_once(database_url: str, db: DictConnection, tmp_path: Any) -> None:
    """Whoever comes second finds nothing to do. What became of it is kept; its settings, and any execution, are not."""
    file = tmp_path / "lines"
    trial_id = add(db, command=f"echo $MILLRACE_KEY | tee -a '{file}'")
    assert shown(db, trial_id)["status"] == "running"
    async with worker(database_url) as post:
        assert await shifts.carry_out(post, trial_id) == "success"
        assert await shifts.carry_out(post, trial_id) is None
    assert file.read_text() == f"trial_{trial_id}\n"
    made = shown(db, trial_id)
    assert (made["status"], made["code"], made["output"]["excerpt"].strip()) == ("success", 0, f"trial_{trial_id}")
    assert (made["error"], made["payload"], len(made["attempts"])) == (None, None, 1)
    assert made["duration"] > timedelta(0)
    assert db.execute("select 1 from job union all select 1 from execution").fetchall() == []


async def test_what_nobody_waits_for_is_not_run(database_url: str, db: DictConnection, tmp_path: Any) -> None:
    """A trial that was asked for long ago, or that is not there, is nobody's: nothing is run."""
    trial_id = add(db, command=f"touch '{tmp_path}/ran'")
    db.execute("update trial set created_at = now() - interval '6 minutes'")
    async with worker(database_url) as post:
        assert await shifts.carry_out(post, trial_id) is None
        assert await shifts.carry_out(post, trial_id + 1) is None
    assert not (tmp_path / "ran").exists()
    made = shown(db, trial_id)
    assert (made["status"], made["started_at"]) == ("failed", None)
    assert "no worker took it within 5 minutes" in made["error"]


async def test_a_failure_is_kept_after_one_attempt(database_url: str, db: DictConnection) -> None:
    """An exit code, a time-out, or settings that fit no more say what they would say in the ledger."""
    wrong = add(db, command="echo why; exit 3")
    slow = add(db, timeout=timedelta(seconds=0.2), command="sleep 60")
    misfit = add(db, "python", function="user_functions:add", argument=1)
    async with worker(database_url) as post:
        assert [await shifts.carry_out(post, trial_id) for trial_id in (wrong, slow, misfit)] == ["failed"] * 3
    [attempt] = shown(db, wrong)["attempts"]
    assert (attempt["code"], attempt["excerpt"].strip(), shown(db, wrong)["output"]) == (3, "why", None)
    assert "0.2 s" in shown(db, slow)["error"]
    assert "argument: Extra inputs" in shown(db, misfit)["error"]


async def test_no_secret_of_a_connection_comes_back(database_url: str, db: DictConnection) -> None:
    """Not even if the function that it is handed to returns it, or fails with it."""
    ids = [add(db, "python", function=f"user_trials:{name}", conn_id="crm") for name in ("tell", "fail")]
    async with worker(database_url) as post:
        assert [await shifts.carry_out(post, trial_id) for trial_id in ids] == ["success", "failed"]
    told, failed = (shown(db, trial_id) for trial_id in ids)
    assert told["output"]["result"] == {"password": "***"}
    assert "***" in failed["error"]
    assert not db.execute("select 1 from trial where outcome::text like %s", (f"%{PASSWORD}%",)).fetchall()


async def test_what_is_too_large_to_be_shown_is_left_out(database_url: str, db: DictConnection) -> None:
    """However much an attempt says, the table takes what became of it, and says how large it was."""
    lines = shifts._bounded(
        {"attempts": [], "output": {"line": "l", "excerpt": "e", "rows": ["x" * 600_000]}, "error": None}
    )
    assert lines["output"].keys() == {"line", "excerpt", "left_out"}
    assert "bytes are too many" in lines["output"]["left_out"]


def test_an_owner_has_a_few_under_way_at_once(db: DictConnection) -> None:
    """More wait until one has ended, or is given up on; others do not wait for him."""
    for _ in range(trials.MOST_AT_ONCE):
        add(db, command="true")
    assert trials.add(db, "alice", "shell", {"command": "true"}, HALF_A_MINUTE) is None
    assert trials.add(db, "bob", "shell", {"command": "true"}, HALF_A_MINUTE) is not None
    db.execute("update trial set created_at = now() - interval '6 minutes' where id = 1")
    add(db, command="true")


def test_who_asks_many_times_at_once_has_no_more(db: DictConnection, database_url: str) -> None:
    """What others have not committed yet counts: whoever comes second waits until it is known."""
    with psycopg.connect(database_url, options="-c lock_timeout=200ms", row_factory=dict_row) as other:
        with db.transaction():
            for _ in range(trials.MOST_AT_ONCE):
                add(db, command="true")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                trials.add(other, "alice", "shell", {"command": "true"}, HALF_A_MINUTE)
            other.rollback()
            assert trials.add(other, "bob", "shell", {"command": "true"}, HALF_A_MINUTE) is not None
        other.rollback()
        assert trials.add(other, "alice", "shell", {"command": "true"}, HALF_A_MINUTE) is None


def test_trials_are_forgotten_after_an_hour(db: DictConnection) -> None:
    """Whoever adds one removes those of an hour ago, whoever's they are; what is withdrawn is gone at once."""
    old = add(db, command="true")
    db.execute("update trial set created_at = now() - interval '61 minutes'")
    assert trials.get(db, old, None) is None
    new = add(db, command="true")
    assert [row["id"] for row in db.execute("select id from trial").fetchall()] == [new]
    trials.withdraw(db, new)
    assert trials.get(db, new, None) is None


def test_a_trial_whose_worker_died_has_failed(db: DictConnection) -> None:
    """Once its time is up, and nobody wrote what became of it, it says so instead of running for ever."""
    trial_id = add(db, command="true")
    assert trials.claim(db, trial_id) is not None
    trials.withdraw(db, trial_id)
    assert shown(db, trial_id)["status"] == "running"
    db.execute("update trial set started_at = now() - interval '91 seconds'")
    made = shown(db, trial_id)
    assert (made["status"], made["error"]) == (
        "failed",
        "the worker that tried it is gone; what it has done is unknown",
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"owner": "''"},
        {"kind": "'No Kind'"},
        {"payload": "'[]'"},
        {"payload": "null"},
        {"timeout": "'2 minutes'"},
        {"timeout": "'0'"},
        {"status": "'lost'"},
        {"status": "'success'"},
        {"finished_at": "now()"},
        {"outcome": "'{}'"},
        {"status": "'failed'", "finished_at": "now()", "outcome": "'{}'", "payload": "null"},
    ],
)
def test_the_table_takes_no_nonsense(db: DictConnection, columns: dict[str, str]) -> None:
    """What is written by hand is judged too: nothing has ended without beginning, or has an outcome before it ended."""
    good = {"owner": "'alice'", "kind": "'shell'", "payload": "'{}'", "timeout": "'30 s'"}
    given = {**good, **columns}
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"insert into trial ({', '.join(given)}) values ({', '.join(given.values())})".encode())


@pytest.mark.xdist_group("api")
def test_what_became_of_it_is_for_its_owner(database_url: str, db: DictConnection) -> None:
    """He and admins are answered; to others, it is as one that is not there."""
    trial_id = add(db, command="true")
    with api_of(database_url) as api:
        for owner in (api, api.as_(ALICE)):
            made = ok(owner.get(f"/jobs/trials/{trial_id}"))
            assert (made["id"], made["kind"], made["status"], made["attempts"]) == (trial_id, "shell", "running", [])
            assert "payload" not in made
        theirs = problem(api.as_(BOB).get(f"/jobs/trials/{trial_id}"), 404)
        assert theirs == problem(api.get("/jobs/trials/9"), 404).replace("9", str(trial_id))
        problem(api.get(f"/jobs/trials/{2**63}"), 422)
