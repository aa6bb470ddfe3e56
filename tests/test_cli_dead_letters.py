"""`./millrace dead-letters` of workflows: what was given up on is seen, sent again or discarded, and counted."""

from __future__ import annotations

import psycopg
import pytest

from include.store import workflows
from include.store.db import DictConnection
from tests.workflow_commands import (
    URL,
    Refused,
    Run,
    add_records,
    bury,
    call,
    document,
    environment,
    issues,
    one,
    refused,
    run,
)

__all__ = ["environment", "issues", "refused", "run"]


@pytest.fixture
def letters(run: Run, db: DictConnection, issues: int) -> list[int]:
    """Ada's workflow `crm` has dead letters of records 1, 2 and 3, `other` one of record 1; their ids."""
    add_records(db, issues, None, None, None, title="broken")
    run(f"workflows add crm webhook --connector issues {URL} --owner ada@example.com")
    run(f"workflows add other webhook --connector issues {URL}")
    crm, other = (row["id"] for row in workflows.page(db))
    return [*(bury(db, crm, position) for position in (1, 2, 3)), bury(db, other, 1, "HTTP 410")]


def statuses(db: DictConnection) -> list[tuple[object, bool]]:
    rows = db.execute("select status, resolved_at is not null as resolved from dead_letter order by id").fetchall()
    return [(row["status"], bool(row["resolved"])) for row in rows]


def test_list_shows_the_newest_first(run: Run, letters: list[int]) -> None:
    """One line per dead letter, with the record's key and the error; JSON has every attempt."""
    rows = document(run("dead-letters list --json"))
    assert [row["id"] for row in rows] == letters[::-1]
    assert (rows[1]["workflow"], rows[1]["owner"], rows[1]["connector"]) == ("crm", "ada@example.com", "issues")
    assert (rows[1]["position"], rows[1]["key"], rows[1]["kept"]) == (3, "key 3", True)
    assert [attempt["code"] for attempt in rows[1]["attempts"]] == [422]
    header, first, *_ = run("dead-letters list").stdout.splitlines()
    assert header.split()[:5] == ["id", "of", "owner", "what", "status"]
    assert first.split()[:6] == ["4", "other", "admin", "record", "1", "(key"]
    assert "HTTP 410" in first


FILTERS = (
    ("", [3, 1, 0]),
    ("--status all", [3, 2, 1, 0]),
    ("--status dead", [3, 0]),
    ("--status redriving", [1]),
    ("--status discarded", [2]),
    ("--workflow crm", [1, 0]),
    ("--owner ada@example.com --status all", [2, 1, 0]),
    ("--since 1h", [3, 1]),
    ("--since 2020-01-01", [3, 1, 0]),
    ("-n 1", [3]),
    ("-n 0", [3, 1, 0]),
    ("--workflow other --status redriven", []),
)


def test_list_filters(run: Run, db: DictConnection, letters: list[int]) -> None:
    """Only those that were asked for; without a status, those that are not resolved."""
    db.execute("update dead_letter set created_at = now() - interval '2 hours' where id = %s", (letters[0],))
    db.execute("update dead_letter set status = 'redriving' where id = %s", (letters[1],))
    db.execute("update dead_letter set status = 'discarded', resolved_at = now() where id = %s", (letters[2],))
    for options, places in FILTERS:
        result = run(f"dead-letters list {options} --json")
        assert [row["id"] for row in document(result)] == [letters[place] for place in places], options
        assert ("there are more" in result.stderr) == (options == "-n 1")


def test_an_empty_list_says_what_it_leaves_out(run: Run, db: DictConnection, letters: list[int]) -> None:
    """Nothing open is good news, and how to see the rest is said."""
    db.execute("delete from dead_letter")
    assert run("dead-letters list").stderr == "no dead letters that are open; --status all shows the rest\n"


def test_show_has_the_record_and_every_attempt(run: Run, db: DictConnection, letters: list[int]) -> None:
    """By its id, or by workflow and position; people see payload, error and attempts, and JSON has them all."""
    text = run(f"dead-letters show {letters[1]}").stdout
    for part in ("2 of connector issues", "key 2", '"title": "broken"', "HTTP 422: no such field", "0.12s", "422"):
        assert part in text
    shown = document(run("dead-letters show crm 2 --json"))
    assert (shown["id"], shown["status"], shown["workflow"]) == (letters[1], "dead", "crm")
    assert shown["record"]["payload"] == {"title": "broken", "n": 2}
    assert shown["attempts"][0]["error"] == "HTTP 422: no such field"


def test_show_survives_what_is_missing(run: Run, db: DictConnection, letters: list[int]) -> None:
    """A record that retention has removed, and an attempt without details, are shown as far as they are known."""
    db.execute("delete from record where position = 2")
    db.execute("update dead_letter set attempts = '[{}]', status = 'discarded', resolved_at = now() where position = 2")
    text = run("dead-letters show crm 2").stdout
    assert "payload    no longer kept" in text
    assert "discarded at " in text
    assert document(run("dead-letters show crm 2 --json"))["record"] is None


BAD = (
    ("show 99", "there is no dead letter 99"),
    ("show " + "9" * 40, "there is no dead letter 9999"),
    ("show crm", "'crm' is not the id of a dead letter; write one, or a workflow and a position"),
    ("show crm 77", "record 77 of workflow 'crm' is not a dead letter"),
    ("show crn 1", "did you mean 'crm'?"),
    ("redrive", "write the ids of dead letters, or --all or --since, one of them"),
    ("redrive 1 --workflow crm --all", "write ids alone"),
    ("redrive 1 --all", "write ids alone"),
    ("discard --all --since 1h --yes", "or --all or --since, one of them"),
    ("redrive --workflow crm", "or --all or --since, one of them"),
    ("redrive --workflow crm --timers --all", "keep one of them"),
    ("redrive x", "there is no dead letter x"),
    ("show timer_99", "there is no dead letter timer_99"),
    ("show job_1_1", "there is no dead letter job_1_1"),
    (f"show job_{'9' * 19}_1", "is not the id of a dead letter"),
    ("list --job nothing", "there is no job named 'nothing'"),
    ("list --job 99", "there is no job with id 99"),
    ("redrive 1 98 99", "there is no dead letter 98 or 99"),
    ("discard " + "9" * 40, "there is no dead letter 9999"),
)


def test_what_cannot_be_meant_is_refused(refused: Refused, db: DictConnection, letters: list[int]) -> None:
    """A choice that is empty or ambiguous, or of something that is not there, is refused, and nothing changes."""
    for line, says in BAD:
        assert says in refused(f"dead-letters {line}")
    assert statuses(db) == [("dead", False)] * 4


def test_redrive_by_id_wakes_the_workflow(run: Run, db: DictConnection, database_url: str, letters: list[int]) -> None:
    """The dead letters wait to be sent again, their number is said, and whoever is on duty hears of it."""
    with psycopg.connect(database_url, autocommit=True) as heard:
        heard.execute("listen millrace")
        assert run(f"dead-letters redrive {letters[0]} {letters[1]}").stdout == "redriving 2 dead letters\n"
        workflow_id = workflows.find(db, "crm")["id"]
        assert [notice.payload for notice in heard.notifies(timeout=5, stop_after=1)] == [f"workflow:{workflow_id}"]
    assert statuses(db) == [("redriving", False)] * 2 + [("dead", False)] * 2
    again = run(f"dead-letters redrive {letters[0]} {letters[2]} --json")
    assert document(again) == {"redriving": 1, "ids": [letters[2]], "gone": [], "cleared": []}
    assert "1 dead letter had been asked for already" in again.stderr


def test_redrive_of_a_workflow_takes_all_or_those_since(run: Run, db: DictConnection, letters: list[int]) -> None:
    """Of one workflow, those that died since an instant, or all; others' stay."""
    db.execute("update dead_letter set created_at = now() - interval '2 hours' where id = %s", (letters[0],))
    assert document(run("dead-letters redrive --workflow crm --since 1h --json"))["ids"] == letters[1:3]
    assert document(run("dead-letters redrive --workflow crm --all --json"))["ids"] == [letters[0]]
    assert run("dead-letters redrive --workflow crm --all").stdout == "redriving 0 dead letters\n"
    assert statuses(db)[3] == ("dead", False)


def test_redriving_for_a_paused_workflow_says_when(run: Run, db: DictConnection, letters: list[int]) -> None:
    """They are sent when the workflow is back on duty, and how to get there is said."""
    run("workflows pause crm")
    assert "workflow 'crm' is paused" in run("dead-letters redrive --workflow crm --all").stderr


def test_what_is_resolved_is_not_touched_again(
    run: Run, refused: Refused, db: DictConnection, letters: list[int]
) -> None:
    """A dead letter that was redriven or discarded stays so; the way to send such records again is named."""
    run(f"dead-letters discard {letters[0]} --yes")
    db.execute("update dead_letter set status = 'redriven', resolved_at = now() where id = %s", (letters[1],))
    before = statuses(db)
    assert "is resolved: it was discarded at" in refused(f"dead-letters redrive {letters[2]} {letters[0]}")
    assert "`./millrace workflows rewind" in refused(f"dead-letters redrive {letters[1]}")
    assert "is resolved: it was redriven at" in refused(f"dead-letters discard {letters[1]} --yes")
    assert statuses(db) == before


def test_a_record_that_is_gone_cannot_be_sent_again(
    run: Run, refused: Refused, db: DictConnection, letters: list[int]
) -> None:
    """By its id it is refused with the reason; of a whole workflow the others are sent, and it is named."""
    db.execute("delete from record where position = 1")
    says = refused(f"dead-letters redrive {letters[0]} {letters[1]}")
    assert f"dead letter {letters[0]} (record 1 of connector issues): retention has removed it" in says
    assert f"`./millrace dead-letters discard {letters[0]}`" in says
    assert statuses(db) == [("dead", False)] * 4
    result = run("dead-letters redrive --workflow crm --all --json")
    assert document(result) == {"redriving": 2, "ids": letters[1:3], "gone": [letters[0]], "cleared": []}
    assert "but not 1 dead letter: the log no longer has" in result.stderr


def test_discard_resolves_what_is_open(run: Run, refused: Refused, db: DictConnection, letters: list[int]) -> None:
    """Only with --yes, where nobody can be asked; by id what is being redriven too, of a workflow what is dead."""
    run(f"dead-letters redrive {letters[0]} {letters[1]}")
    assert "whether to discard 1 dead letter; say --yes" in refused(f"dead-letters discard {letters[0]}")
    made = document(run(f"dead-letters discard {letters[0]} --yes --json"))
    assert made == {"discarded": 1, "ids": [letters[0]]}
    assert run("dead-letters discard --workflow crm --all --yes").stdout == "discarded 1 dead letter\n"
    assert statuses(db) == [("discarded", True), ("redriving", False), ("discarded", True), ("dead", False)]
    assert one(db, "select count(*) as open from dead_letter where resolved_at is null") == {"open": 2}


@pytest.mark.parametrize("command", ["list", "show", "redrive", "discard"])
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command has a line to copy."""
    help_text = " ".join(call(f"dead-letters {command} --help").output.split())
    assert f"Example: `./millrace dead-letters {command} " in help_text
