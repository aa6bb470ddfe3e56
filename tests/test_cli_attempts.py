"""Attempts on the command line: what each has sent, in words, and old ones that do not say."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from include.cli import dead_letters, jobs, timers
from include.store.db import DictConnection
from tests.commands import document, environment, going_well
from tests.job_commands import add_execution
from tests.test_cli_dead_letters_jobs import add_timer
from tests.test_store import add_job

__all__ = ["environment"]

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
OLD = {"attempt": 1, "at": NOON.isoformat(), "ms": 12.5, "code": 500, "error": "HTTP 500"}
MAIL = {**OLD, "attempt": 2, "revision": 7, "request": {"to": "ann@example.com", "subject": "Daily"}}
CALL = {**OLD, "attempt": 3, "revision": 8, "request": {"method": "POST", "url": "https://example.com/?token=***"}}
SAID = ("to: ann@example.com; subject: Daily", "POST https://example.com/?token=***")


def put(db: DictConnection, table: str, attempts: Any) -> None:
    db.execute(f"update {table} set attempts = %s::jsonb", (json.dumps(attempts),))


@pytest.mark.usefixtures("environment")
def test_a_dead_letter_shows_every_request(db: DictConnection) -> None:
    """A line for each attempt; of an old one all but that."""
    add_execution(db, add_job(db), NOON, "failed", error="HTTP 500", code=500)
    put(db, "execution", [OLD, MAIL, CALL])
    run = going_well(dead_letters.app)
    text = run("show", "job_1_1767268800000000").stdout
    assert all(line in text for line in SAID)
    assert document(run("show", "job_1_1767268800000000", "--json"))["attempts"] == [OLD, MAIL, CALL]
    [row] = document(going_well(jobs.app)("executions", "1", "--since", "2026-01-01", "--json"))
    assert row["attempts"] == [OLD, MAIL, CALL]


@pytest.mark.usefixtures("environment")
def test_a_timer_shows_every_request(db: DictConnection) -> None:
    """As a dead letter does."""
    add_timer(db, due_at=NOON)
    put(db, "timer", [OLD, CALL])
    text = going_well(timers.app)("show", "1").stdout
    assert SAID[1] in text
    assert "HTTP 500" in text


@pytest.mark.parametrize("attempts", [[{**OLD, "at": 7, "ms": "x", "error": [1]}, 3], {"at": "once", "ms": 10**400}, 7])
@pytest.mark.usefixtures("environment")
def test_whatever_plain_sql_has_put_there_is_shown(db: DictConnection, attempts: Any) -> None:
    """No command fails because of an attempt that is none."""
    add_execution(db, add_job(db), NOON, "failed", error=None, code=500)
    db.execute("update execution set error = null")
    put(db, "execution", attempts)
    add_timer(db, due_at=NOON)
    put(db, "timer", attempts)
    last = str(attempts[-1] if isinstance(attempts, list) else attempts)
    assert last in going_well(dead_letters.app)("show", "job_1_1767268800000000").stdout or "once" in last
    going_well(dead_letters.app)("list")
    going_well(jobs.app)("executions", "1", "--since", "2026-01-01")
    going_well(timers.app)("show", "1")
    document(going_well(timers.app)("show", "1", "--json"))
