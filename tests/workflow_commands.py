"""What the tests of `./millrace workflows` and `./millrace dead-letters` share: the commands, and rows to work on."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from include.cli import dead_letters, workflows
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing

__all__ = [
    "URL",
    "Refused",
    "Run",
    "add_records",
    "bury",
    "call",
    "document",
    "environment",
    "issues",
    "one",
    "refused",
    "run",
    "stop",
]

URL = "--set url=http://127.0.0.1:9/"

app = typer.Typer()
app.add_typer(workflows.app, name="workflows")
app.add_typer(dead_letters.app, name="dead-letters")


def call(line: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, shlex.split(line), input=input)


@pytest.fixture
def run(environment: None) -> Run:
    """Call a command line; it must go well."""
    return lambda line, input=None: going_well(app)(*shlex.split(line), input=input)


@pytest.fixture
def refused(environment: None) -> Refused:
    """Call a command line; it must end with exit code 1 and an error of ours, which is returned."""
    return lambda line, input=None: refusing(app)(*shlex.split(line), input=input)


@pytest.fixture
def issues(db: DictConnection) -> int:
    """A connector `issues`, whose log is empty; its id."""
    return int(str(one(db, "insert into connector (name, kind) values ('issues', 'rest') returning id")["id"]))


def one(db: DictConnection, statement: str, *parameters: object) -> dict[str, Any]:
    row = db.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row


def add_records(db: DictConnection, connector_id: int, *stored_at: datetime | None, **payload: Any) -> None:
    """A record for each instant at which one was stored, the oldest first; None: now."""
    for instant in stored_at:
        db.execute(
            "insert into record (connector_id, key, payload, created_at)"
            " select %s, 'key ' || head + 1, %s::jsonb || jsonb_build_object('n', head + 1), %s"
            " from connector where id = %s",
            (connector_id, json.dumps(payload), instant, connector_id),
        )


def stop(db: DictConnection, workflow_id: int, position: int, error: str = "HTTP 422: no such field") -> None:
    """As a shift leaves a workflow with on_error = stop."""
    db.execute(
        "update workflow_progress set position = %s, stopped_at = %s, error = %s where workflow_id = %s",
        (position - 1, position, error, workflow_id),
    )


def bury(db: DictConnection, workflow_id: int, position: int, error: str = "HTTP 422: no such field") -> int:
    """A dead letter as a shift leaves it, after one attempt of 120 ms; its id."""
    attempts = [{"attempt": 1, "at": "2026-11-21T09:00:00+00:00", "ms": 120.0, "code": 422, "error": error}]
    row = one(
        db,
        "insert into dead_letter (workflow_id, connector_id, position, error, attempts)"
        " select id, connector_id, %s, %s, %s::jsonb from workflow where id = %s returning id",
        position,
        error,
        json.dumps(attempts),
        workflow_id,
    )
    return int(row["id"])
