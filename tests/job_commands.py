"""What tests of `./millrace jobs` share: the command, called as people call it, and rows to call it on."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.cli.jobs import app
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing

__all__ = ["URL", "Refused", "Run", "add_execution", "document", "environment", "refused", "run"]

URL = "url=http://127.0.0.1:9/"


@pytest.fixture
def run(environment: None) -> Run:
    """Call `jobs` with these words; it must go well."""
    return going_well(app)


@pytest.fixture
def refused(environment: None) -> Refused:
    """Call `jobs` with these words; it must end with exit code 1 and an error of ours, which is returned."""
    return refusing(app)


def add_execution(db: DictConnection, job_id: int, due: datetime, status: str = "success", **facts: Any) -> None:
    """A row of the ledger as a shift leaves it, with one attempt of 120 ms that began 80 ms late."""
    entry = {"attempt": 1, "at": due.isoformat(), "ms": 120.0, "code": 200, **facts}
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, attempts, started_at, finished_at, error,"
        " dag_run_id) values (%s, %s, %s, 1, %s::jsonb, %s, %s, %s, 'a_run')",
        (
            job_id,
            due,
            status,
            json.dumps([entry]),
            due + timedelta(milliseconds=80),
            due + timedelta(milliseconds=200),
            facts.get("error"),
        ),
    )
