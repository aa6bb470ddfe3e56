"""`./millrace workflows add`, `edit`, `pause`, `resume` and `rm`: what people write becomes rows as they meant it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from include.store import workflows
from include.store.db import DictConnection, queries
from tests.log_rows import add_connector
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
    stop,
)

__all__ = ["environment", "issues", "refused", "run"]

ADD = f"workflows add crm webhook --connector issues {URL}"


def test_a_workflow_without_options_is_what_plain_sql_makes(run: Run, db: DictConnection, issues: int) -> None:
    """The defaults of the command line are those of the table."""
    run(ADD)
    db.execute(
        "insert into workflow (name, connector_id, kind, payload)"
        """ values ('by sql', %s, 'webhook', '{"url": "http://127.0.0.1:9/"}')""",
        (issues,),
    )
    made, plain = db.execute("select * from workflow order by id").fetchall()
    own = {"id", "name", "revision", "schedule_revision", "schedule_changed_at", "created_at", "updated_at"}
    assert {name for name in made if made[name] != plain[name]} <= {*own, "started_at"}
    columns = db.execute(
        "select column_name from information_schema.columns where table_schema = 'millrace' and table_name = 'workflow'"
    )
    settable = {str(row["column_name"]) for row in columns} - own - {"kind", "connector_id", "error"}
    assert settable == set(workflows.DEFAULTS)


def test_a_connectors_name_means_the_one_of_the_same_owner(run: Run, refused: Refused, db: DictConnection) -> None:
    """Of several owners' connectors of one name it is the workflow's owner's; if he has none, it is not guessed."""
    ids = {owner: add_connector(db, "shop", owner=owner) for owner in ("admin", "ada", "bob")}
    for words, owner in (("", "admin"), (" --owner ada", "ada"), (" --owner bob", "bob")):
        run(f"workflows add w webhook --connector shop {URL}{words}")
        assert one(db, "select connector_id from workflow order by id desc limit 1") == {"connector_id": ids[owner]}
    unclear = refused(f"workflows add w webhook --connector shop {URL} --owner eve")
    assert "several owners have a connector named 'shop'; write the id: " in unclear
    assert [row["owner"] for row in document(run("workflows list --connector shop --owner bob --json"))] == ["bob"]


def test_every_option_of_add_ends_up_in_its_column(run: Run, db: DictConnection, issues: int) -> None:
    """What is written on the command line is what is in the row."""
    run(
        f"workflows add crm http --connector {issues} --every 1m30s --started-at 2026-07-01 --start-from beginning"
        """ --filter '$.state == "open"' --payload '{"url": "http://127.0.0.1:9/", "method": "POST"}'"""
        " --set 'json.title={{ record.payload.title }}' --owner ada@example.com --on-error stop --batch-size 10"
        " --retries 5 --retry-delay 1m --retry-backoff 1.5 --timeout 90s --inactive"
    )
    row = workflows.find(db, "crm")
    assert (row["connector_id"], row["connector"], row["kind"]) == (issues, "issues", "http")
    assert (row["every"], row["started_at"]) == (timedelta(seconds=90), datetime(2026, 7, 1, tzinfo=timezone.utc))
    assert (row["start_from"], row["filter"]) == ("beginning", '$.state == "open"')
    assert row["payload"]["json"] == {"title": "{{ record.payload.title }}"}
    assert (row["owner"], row["on_error"], row["batch_size"]) == ("ada@example.com", "stop", 10)
    assert (row["retries"], row["retry_delay"], row["retry_backoff"]) == (5, timedelta(minutes=1), 1.5)
    assert (row["timeout"], row["is_active"]) == (timedelta(seconds=90), False)


@pytest.mark.parametrize(
    ("options", "position"),
    [
        ("", 4),
        ("--start-from beginning", 0),
        ("--start-from -2h", 2),
        ("--start-from 90m", 3),
        ("--start-from 2026-01-01", 0),
        ("--started-at 2026-01-01", 0),
    ],
)
def test_start_from_says_which_records_it_begins_with(
    run: Run, db: DictConnection, issues: int, options: str, position: int
) -> None:
    """From now on, from the beginning, or since an instant, which may be so long ago; and add says where that is."""
    now = datetime.now(timezone.utc)
    add_records(db, issues, *(now - timedelta(minutes=minutes) for minutes in (240, 150, 100, 1)))
    assert f"goes on after record {position}; the newest is 4" in run(f"{ADD} {options}").stdout
    assert workflows.find(db, "crm")["position"] == position


def test_a_workflow_may_begin_later(run: Run, db: DictConnection, issues: int) -> None:
    """Until then it waits, and has no lag; everything about where to begin can still be edited."""
    add_records(db, issues, None, None)
    made = document(run(f"{ADD} --started-at +1h --json"))
    assert (made["state"], made["begun"], made["lag_records"]) == ("waiting", False, None)
    assert "waiting until" in run("workflows list").stdout
    run("workflows edit crm --start-from beginning --started-at 2026-01-01")
    assert workflows.find(db, "crm")["start_from"] == "beginning"


def test_add_says_what_was_made(run: Run, db: DictConnection, issues: int) -> None:
    """The id, the schedule and the connector, as lines for people and as JSON with ISO 8601 and seconds."""
    result = run(f"{ADD} --every 5s --inactive")
    row = workflows.find(db, "crm")
    assert f"added workflow {row['id']} (crm): every 5 s, the records of connector issues" in result.stdout
    assert f"`./millrace workflows resume {row['id']}`" in result.stdout
    assert "within seconds" in result.stderr
    made = document(run(f"workflows add other webhook --connector issues {URL} --json"))
    assert (made["every"], made["state"], made["dag_id"]) == (30.0, "active", f"workflow_{made['id']}")
    assert datetime.fromisoformat(made["next"]) > datetime.now(timezone.utc)


def test_a_filter_is_tried_on_what_is_there(run: Run, db: DictConnection, issues: int) -> None:
    """How much a filter lets through of the newest records is said at once, so that a misspelt field is seen."""
    add_records(db, issues, None, None, state="open")
    add_records(db, issues, None, state="closed")
    assert "of the newest 3 records the filter lets 2 through" in run(f"""{ADD} --filter '$.state == "open"'""").stderr
    assert "lets 0 through" in run("""workflows edit crm --filter '$.status == "open"'""").stderr
    run("workflows edit crm --filter none")
    assert workflows.find(db, "crm")["filter"] is None


BAD = (
    (f"{ADD} --batch-size 1001", "batch_size: write 1 to 1000"),
    (f"{ADD} --filter '$.state'", "SQL/JSON path predicate, such as $.state"),
    (f"{ADD} --start-from yesterday", "--start-from: 'yesterday' is not an instant; write 2026-"),
    (f"{ADD} --started-at yesterday", "--started-at: 'yesterday' is not an instant"),
    (f"{ADD} --every 0.5s", "write 1 second at least"),
    (f"{ADD} --set 'body={{{{ record. }}}}'", "body: expected name or number"),
    (f"{ADD} --set verb=GET", "verb: Extra inputs are not permitted"),
    (f"workflows add crm webhok --connector issues {URL}", "did you mean 'webhook'?"),
    ("workflows add crm webhook --connector issues", "url: Field required"),
    (f"workflows add crm webhook --connector issue {URL}", "did you mean 'issues'?"),
    (f"workflows add crm webhook --connector 77 {URL}", "there is no connector with id 77"),
    (f"workflows add 42 webhook --connector issues {URL}", "would be read as an id"),
    (f"workflows add ' crm ' webhook --connector issues {URL}", "name: write 1 to 200 characters"),
)


def test_a_bad_workflow_is_refused_before_there_is_a_row(refused: Refused, db: DictConnection, issues: int) -> None:
    """Whatever is wrong with a new workflow, the message says so, and no row is left behind."""
    for line, says in BAD:
        assert says in refused(line)
    assert one(db, "select count(*) as workflows from workflow") == {"workflows": 0}


def test_a_name_is_given_once_by_each_owner(run: Run, refused: Refused, db: DictConnection, issues: int) -> None:
    """Two users may have a workflow of the same name; then the id says which, and the error lists the ids."""
    run(f"{ADD} --owner ada@example.com")
    assert "this owner has a workflow with this name already" in refused(f"{ADD} --owner ada@example.com")
    run(f"{ADD} --owner bob@example.com")
    ada, bob = (row["id"] for row in workflows.page(db))
    assert refused("workflows show crm").endswith(f"write the id: {ada} (ada@example.com), {bob} (bob@example.com)")
    assert document(run(f"workflows show {bob} --json"))["owner"] == "bob@example.com"


def test_an_unknown_workflow_is_answered_with_those_that_were_meant(run: Run, refused: Refused, issues: int) -> None:
    """A misspelt name gets the close ones; an id that nobody has, however long, gets the way to the list."""
    run(ADD)
    assert refused("workflows show crn").endswith("did you mean 'crm'?")
    assert "`./millrace workflows list`" in refused("workflows lag " + "9" * 40)


def test_edit_changes_what_is_given_and_nothing_else(run: Run, db: DictConnection, issues: int) -> None:
    """Every column that was not named is as before, the schedule's revision and the watermark included."""
    add_records(db, issues, None, None)
    run(f"{ADD} --retries 7 --set body.a=1")
    before = workflows.find(db, "crm")
    run("workflows edit crm --set body.b=2 --timeout 5s")
    after = workflows.find(db, "crm")
    assert after["payload"]["body"] == {"a": 1, "b": 2}
    assert {name for name in after if after[name] != before[name]} == {"payload", "timeout", "revision", "updated_at"}
    run("workflows edit crm --unset body --name c2 --kind http --owner ada@example.com")
    row = workflows.find(db, "c2")
    assert (row["payload"], row["kind"]) == ({"url": "http://127.0.0.1:9/"}, "http")
    assert (row["owner"], row["position"]) == ("ada@example.com", 2)


BAD_EDITS = (
    ("", "nothing to change"),
    ("--kind ping", "body: Extra inputs are not permitted"),
    ("--start-from beginning", "has begun, so this would change nothing; `./millrace workflows rewind"),
    ("--name other", "this owner has a workflow with this name already"),
    ("--name 7", "would be read as an id"),
    ("--timeout 2d", "timeout: write more than 0s, and at most 1d"),
)


def test_a_bad_edit_changes_nothing(run: Run, refused: Refused, db: DictConnection, issues: int) -> None:
    """An edit that would leave a workflow that cannot run, or that would have no effect, is refused as a whole."""
    run(f"{ADD} --set body.a=1")
    run(f"workflows add other webhook --connector issues {URL}")
    before = workflows.find(db, "crm")
    for options, says in BAD_EDITS:
        assert says in refused(f"workflows edit crm {options}")
    assert workflows.find(db, "crm") == before


def test_several_workflows_are_paused_and_resumed_or_none(
    run: Run, refused: Refused, db: DictConnection, issues: int
) -> None:
    """Names and ids may be mixed; if one is unknown, none changes; one that has stopped says so when resumed."""
    run(ADD)
    run(f"workflows add other webhook --connector issues {URL}")
    other = workflows.find(db, "other")["id"]
    assert "did you mean" in refused("workflows pause crm othr")
    assert workflows.find(db, "crm")["is_active"]
    run(f"workflows pause crm {other} crm")
    assert [row["is_active"] for row in workflows.page(db)] == [False, False]
    run("workflows pause other --until +2h")
    stop(db, other, 1)
    result = run("workflows resume crm other")
    assert [(row["is_active"], row["paused_until"]) for row in workflows.page(db)] == [(True, None)] * 2
    assert f"`./millrace workflows retry {other}`" in result.stderr
    assert "is not in the future" in refused("workflows pause crm --until 2020-01-01")


def test_rm_asks_or_is_told_yes(run: Run, refused: Refused, db: DictConnection, issues: int) -> None:
    """Without a terminal nothing is removed unless --yes says so; dead letters that go with it are counted."""
    run(ADD)
    workflow_id = workflows.find(db, "crm")["id"]
    bury(db, workflow_id, 1)
    assert "remove 'crm' and 1 dead letters that nobody has resolved; say --yes" in refused("workflows rm crm")
    assert document(run("workflows rm crm --yes --json")) == [{"id": workflow_id, "name": "crm", "owner": "admin"}]
    assert one(db, "select count(*) as left from dead_letter") == {"left": 0}


@pytest.mark.parametrize(
    "command",
    ["add", "list", "show", "edit", "pause", "resume", "run", "rm", "lag", "rewind", "skip", "retry"],
)
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command has a line to copy."""
    help_text = " ".join(call(f"workflows {command} --help").output.split())
    assert f"Example: `./millrace workflows {command} " in help_text


def test_every_statement_about_workflows_has_a_sentence() -> None:
    """A statement says in words what it does before it does it."""
    for file in ("workflows", "dead_letters"):
        for name, text in queries(file).items():
            assert text.startswith("-- "), f"{file}.sql: {name} has no sentence"
