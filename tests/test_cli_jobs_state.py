"""`./millrace jobs pause`, `resume` and `rm`: of several jobs, all are changed or none."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from include.store import jobs
from include.store.db import DictConnection
from tests.job_commands import URL, Refused, Run, add_execution, document, environment, refused, run

__all__ = ["environment", "refused", "run"]


def test_several_jobs_are_paused_and_resumed_or_none(run: Run, refused: Refused, db: DictConnection) -> None:
    """Names and ids may be mixed; if one of them is unknown, none changes."""
    for name in ("a", "b"):
        run("add", name, "ping", "--set", URL)
    b = jobs.find(db, "b")["id"]
    assert "did you mean" in refused("pause", "a", "bb")
    assert [jobs.find(db, name)["is_active"] for name in "ab"] == [True, True]
    run("pause", "a", str(b), "a")
    assert [jobs.find(db, name)["is_active"] for name in "ab"] == [False, False]
    run("pause", "b", "--until", "+2h")
    run("resume", "a", "b")
    assert [(jobs.find(db, n)["is_active"], jobs.find(db, n)["paused_until"]) for n in "ab"] == [(True, None)] * 2


def test_a_pause_with_an_end_leaves_the_job_active(run: Run, refused: Refused, db: DictConnection) -> None:
    """`--until` sets the instant at which the job is back by itself; it must lie ahead, and `next` knows it."""
    run("add", "a", "ping", "--every", "5s", "--set", URL)
    run("pause", "a", "--until", "+1h")
    row = jobs.find(db, "a")
    assert row["is_active"]
    assert timedelta(minutes=59) < row["paused_until"] - datetime.now(timezone.utc) <= timedelta(hours=1, seconds=1)
    [listed] = document(run("list", "--json"))
    assert listed["state"] == "paused"
    assert datetime.fromisoformat(listed["next"]) >= row["paused_until"]
    assert "is not in the future" in refused("pause", "a", "--until", "2020-01-01")


def test_rm_asks_or_is_told_yes(run: Run, refused: Refused, db: DictConnection) -> None:
    """Without a terminal nothing is removed unless --yes says so; the ledger keeps what happened."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    add_execution(db, job_id, datetime.now(timezone.utc))
    assert "say --yes" in refused("rm", "a")
    assert document(run("rm", "a", "--yes", "--json")) == [{"id": job_id, "name": "a"}]
    assert f"there is no job with id {job_id}" in refused("show", str(job_id))
    [left] = document(run("executions", str(job_id), "--json"))
    assert (left["job"], left["status"]) == (None, "success")


def test_an_unknown_job_is_answered_with_those_that_were_meant(run: Run, refused: Refused) -> None:
    """A misspelt name gets the close ones; an id that nobody has, however long, gets the way to the list."""
    run("add", "nightly report", "ping", "--set", URL)
    assert refused("show", "nightly reprot").endswith("did you mean 'nightly report'?")
    assert "`./millrace jobs list`" in refused("show", "something else entirely")
    assert "there is no job with id" in refused("next", "9" * 40)
