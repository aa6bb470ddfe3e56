"""`./millrace workflows rewind`, `skip` and `retry`: a person moves a watermark, and is told what that means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from include.store import workflows
from include.store.db import DictConnection
from tests.workflow_commands import (
    URL,
    Refused,
    Run,
    add_records,
    document,
    environment,
    issues,
    one,
    refused,
    run,
    stop,
)

__all__ = ["environment", "issues", "refused", "run"]


@pytest.fixture
def crm(run: Run, db: DictConnection, issues: int) -> int:
    """A workflow that has finished 6 records, a batch in hand, of the 8 that were stored an hour apart; its id."""
    now = datetime.now(timezone.utc)
    add_records(db, issues, *(now - timedelta(hours=hours, minutes=-30) for hours in range(8, 0, -1)))
    run(f"workflows add crm webhook --connector issues {URL}")
    workflow_id: int = workflows.find(db, "crm")["id"]
    db.execute("update workflow_progress set position = 6, in_hand = 7, processed = 6")
    return workflow_id


@pytest.fixture
def heard(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that listens as a shift does."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("listen millrace")
        yield connection


def mark(db: DictConnection) -> tuple[object, ...]:
    row = one(db, "select position, stopped_at, error, in_hand from workflow_progress")
    return row["position"], row["stopped_at"], row["error"], row["in_hand"]


def woken(heard: psycopg.Connection) -> list[str]:
    return [notice.payload for notice in heard.notifies(timeout=5, stop_after=1)]


@pytest.mark.parametrize(
    ("to", "position", "records"),
    [("0", 0, 6), ("5", 5, 1), ("-4h", 4, 2), ("5h", 3, 3), ("2020-01-01", 0, 6)],
)
def test_rewind_goes_back_to_a_position_or_a_time(
    run: Run, db: DictConnection, crm: int, heard: psycopg.Connection, to: str, position: int, records: int
) -> None:
    """It says how many records come again, lets go of the batch in hand, and wakes whoever is on duty."""
    made = document(run(f"workflows rewind crm --to {to} --json"))
    assert made == {"id": crm, "name": "crm", "from": 6, "to": position, "records": records}
    assert mark(db) == (position, None, None, None)
    assert woken(heard) == [f"workflow:{crm}"]


def test_rewind_says_what_receivers_will_do(run: Run, db: DictConnection, crm: int) -> None:
    """People are told how many records come again, and that a receiver may know their webhook-id."""
    db.execute("update workflow set filter = '$.n > 0'")
    result = run("workflows rewind crm --to 3")
    assert "goes back from 6 to 3: 3 records will be processed again, if the filter lets them through" in result.stdout
    assert "webhook-id" in result.stderr


def test_rewind_counts_only_what_is_kept(run: Run, db: DictConnection, crm: int) -> None:
    """Records that retention has removed cannot come again, and are not promised."""
    db.execute("delete from record where position <= 4")
    result = run("workflows rewind crm --to 1")
    assert "2 records will be processed again" in result.stdout
    assert "3 records of these are no longer kept" in result.stderr
    db.execute("update workflow_progress set position = 6")
    db.execute("delete from record")
    assert document(run("workflows rewind crm --to 1 --json"))["records"] == 0


def test_rewind_makes_a_stopped_workflow_go_on(run: Run, db: DictConnection, crm: int) -> None:
    """Whoever goes back wants it to work again: from there on it is as if it had not stopped."""
    stop(db, crm, 7)
    run("workflows rewind crm --to 2")
    assert mark(db) == (2, None, None, None)


NOT_BACK = (
    ("9", "lies beyond the head of the log, which is 8"),
    ("9" * 30, "lies beyond the head of the log, which is 8"),
    ("6", "is not before it; `./millrace workflows skip"),
    ("8", "is not before it; `./millrace workflows skip"),
    ("0s", "is not before it; `./millrace workflows skip"),
    ("yesterday", "--to: 'yesterday' is not an instant"),
)


def test_rewind_does_not_go_ahead(run: Run, refused: Refused, db: DictConnection, crm: int) -> None:
    """A position beyond the head, or not before the watermark, is refused, and the watermark stays."""
    for to, says in NOT_BACK:
        assert says in refused(f"workflows rewind crm --to {to}")
    assert mark(db) == (6, None, None, 7)


def test_skip_passes_over_the_record_it_stopped_at(
    run: Run, db: DictConnection, crm: int, heard: psycopg.Connection
) -> None:
    """The workflow goes on after the record, which is not kept as a dead letter."""
    stop(db, crm, 7)
    assert f"workflow {crm} (crm) skips record 7, and goes on after 7 of 8" in run("workflows skip crm").stdout
    assert mark(db) == (7, None, None, None)
    assert woken(heard) == [f"workflow:{crm}"]
    assert one(db, "select count(*) as letters from dead_letter") == {"letters": 0}
    stop(db, crm, 8)
    run("workflows edit crm --batch-size 10")
    assert "skips the batch that ends with record 8" in run("workflows skip crm").stdout


@pytest.mark.parametrize(("to", "position"), [("now", 8), ("7", 7), ("1h", 7)])
def test_skip_goes_ahead_with_yes(
    run: Run, refused: Refused, db: DictConnection, crm: int, to: str, position: int
) -> None:
    """How many records will never be processed is said first, and nothing is skipped unless somebody says yes."""
    count = "1 record" if position == 7 else "2 records"
    assert f"whether to skip {count} of workflow 'crm'; say --yes" in refused(f"workflows skip crm --to {to}")
    assert mark(db) == (6, None, None, 7)
    made = document(run(f"workflows skip crm --to {to} --yes --json"))
    assert made == {"id": crm, "name": "crm", "from": 6, "to": position, "records": position - 6}
    assert mark(db) == (position, None, None, None)


def test_skip_ahead_frees_a_workflow_only_if_it_passes_where_it_stopped(run: Run, db: DictConnection, crm: int) -> None:
    """A record that is still ahead still needs a decision."""
    stop(db, crm, 7)
    db.execute("update workflow_progress set position = 4")
    run("workflows skip crm --to 5 --yes")
    assert mark(db) == (5, 7, "HTTP 422: no such field", None)
    run("workflows skip crm --to 7 --yes")
    assert mark(db) == (7, None, None, None)


NOT_AHEAD = (
    ("", "has not stopped at a record; --to skips ahead"),
    ("--to 9 --yes", "lies beyond the head of the log, which is 8"),
    ("--to 6 --yes", "there is nothing to skip"),
    ("--to 2", "there is nothing to skip"),
)


def test_skip_has_something_to_skip(run: Run, refused: Refused, db: DictConnection, crm: int) -> None:
    """Where there is nothing ahead to pass over, it is refused, and the watermark stays."""
    for options, says in NOT_AHEAD:
        assert says in refused(f"workflows skip crm {options}")
    assert mark(db) == (6, None, None, 7)


def test_retry_tries_the_record_again(
    run: Run, refused: Refused, db: DictConnection, crm: int, heard: psycopg.Connection
) -> None:
    """The watermark stays before the record, and whoever is on duty is woken; one that has not stopped is refused."""
    assert "has not stopped" in refused("workflows retry crm")
    stop(db, crm, 7)
    assert f"workflow {crm} (crm) tries record 7 again" in run("workflows retry crm").stdout
    assert mark(db)[:3] == (6, None, None)
    assert woken(heard) == [f"workflow:{crm}"]
    stop(db, crm, 8)
    run("workflows pause crm")
    assert "it is paused" in run("workflows retry crm").stderr


def test_all_are_retried_or_none(run: Run, refused: Refused, db: DictConnection, crm: int) -> None:
    """If one of several has not stopped, the others stay as they are too."""
    run(f"workflows add other webhook --connector issues {URL}")
    stop(db, crm, 7)
    assert "'other' has not stopped" in refused("workflows retry crm other")
    assert document(run("workflows retry crm --json")) == [{"id": crm, "name": "crm", "record": 7}]


def test_a_workflow_that_has_not_begun_has_nothing_to_move(
    run: Run, refused: Refused, db: DictConnection, crm: int
) -> None:
    """Where it will begin is edited, not moved: moving it would be forgotten."""
    run(f"workflows add later webhook --connector issues {URL} --started-at +1h")
    for command in ("rewind later --to 0", "skip later --to now --yes"):
        assert "has not begun; `./millrace workflows edit" in refused(f"workflows {command}")
