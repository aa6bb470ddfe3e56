"""`./millrace upkeep` on the command line."""

from __future__ import annotations

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from include.cli.upkeep import upkeep
from include.errors import RetryableError
from include.store.db import DictConnection
from tests.commands import Run, document, environment, going_well
from tests.upkeep_rounds import count, impatient

__all__ = ["environment", "impatient"]

app = typer.Typer()
app.command()(upkeep)


@pytest.fixture
def run(environment: None) -> Run:
    return going_well(app)


def test_it_says_what_it_would_remove_and_what_it_has(run: Run, db: DictConnection) -> None:
    """A dry run counts and changes nothing; without it the same is removed, and in JSON each chore is an object."""
    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
    [would] = [line for line in run("--dry-run").stdout.splitlines() if line.startswith("leases ")]
    assert would.split()[1] == "1"
    assert count(db, "lease") == 1
    [did] = [chore for chore in document(run("--json")) if chore["chore"] == "leases"]
    assert {**did, "seconds": 0} == {
        "chore": "leases",
        "does": "leases of the dead removed",
        "changed": 1,
        "seconds": 0,
        "error": None,
    }
    assert count(db, "lease") == 0


@pytest.mark.usefixtures("environment", "impatient")
def test_a_chore_that_fails_makes_it_end_with_1(database_url: str) -> None:
    """The others are done and shown all the same; while somebody else does the chores, nothing is done."""
    with psycopg.connect(database_url) as locking:
        locking.execute("lock table millrace.trial in access exclusive mode")
        result = CliRunner().invoke(app, ["--json"])
        assert result.exit_code == 1
        failed = {chore["chore"]: chore["error"] for chore in document(result) if chore["error"]}
        assert failed == {"trials": "canceling statement due to lock timeout"}
        locking.rollback()
        locking.execute("select pg_advisory_lock(hashtext('millrace.upkeep'))")
        busy = CliRunner().invoke(app, [])
        assert isinstance(busy.exception, RetryableError)
