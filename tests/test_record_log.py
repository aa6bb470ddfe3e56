"""The record log: numbered without gaps in commit order, each record once, whoever writes."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from include.store.db import DictConnection, connect, conninfo
from tests.log_rows import add_connector, add_workflow, append, progress

WRITERS, READERS, BATCHES = 8, 20, 12


def stored(db: DictConnection) -> list[dict[str, Any]]:
    return db.execute("select position, key, version, payload from record order by position").fetchall()


def head(db: DictConnection, connector: int) -> int:
    row = db.execute("select head from connector where id = %s", (connector,)).fetchone()
    assert row is not None
    return int(str(row["head"]))


def test_what_is_stored_already_is_dropped(db: DictConnection) -> None:
    """By key, within a page and across pages; what is left is numbered from the head on, in the page's order."""
    connector = add_connector(db)
    append(db, connector, ["a", "b"])
    items = [{"key": key, "payload": key} for key in ("k9", "k2", "k1", "k9", "k8")]
    row = db.execute("select * from append_records(%s, %s)", (connector, json.dumps(items))).fetchone()
    assert row == {"stored": 2, "head": 4, "superseded": False, "cursor": None}
    assert [(r["position"], r["key"]) for r in stored(db)] == [(1, "k1"), (2, "k2"), (3, "k9"), (4, "k8")]


def test_changed_content_is_a_new_version(db: DictConnection) -> None:
    """With dedupe = content a key whose content changed is stored again, as its next version; the old one stays."""
    connector = add_connector(db, dedupe="content")
    for payload in ({"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}, {"n": 1}):
        append(db, connector, [payload])
    db.execute("insert into record (connector_id, key, payload) values (%s, 'k1', '{\"n\": 1}')", (connector,))
    db.execute("insert into record (connector_id, key, payload) values (%s, 'k1', '{\"n\": 7}')", (connector,))
    assert [(r["position"], r["version"], r["payload"]["n"]) for r in stored(db)] == [
        (1, 1, 1),
        (2, 2, 2),
        (3, 3, 1),
        (4, 4, 7),
    ]


def test_versions_within_one_page(db: DictConnection) -> None:
    """A page that holds a key three times stores each change of its content, in order."""
    connector = add_connector(db, dedupe="content")
    items = [{"key": "k", "payload": n} for n in (1, 1, 2, 1)] + [{"key": "other", "payload": 5}]
    db.execute("select append_records(%s, %s)", (connector, json.dumps(items)))
    assert [(r["key"], r["version"], r["payload"]) for r in stored(db)] == [
        ("k", 1, 1),
        ("k", 2, 2),
        ("k", 3, 1),
        ("other", 1, 5),
    ]


def test_without_a_key_the_content_is_the_key(db: DictConnection) -> None:
    """The same content twice is one record, by either way in."""
    connector = add_connector(db)
    items = [{"payload": {"a": 1, "b": 2}}, {"payload": {"b": 2, "a": 1}}, {"payload": {"a": 2}}]
    db.execute("select append_records(%s, %s)", (connector, json.dumps(items)))
    db.execute("insert into record (connector_id, payload) values (%s, '{\"a\": 2}')", (connector,))
    assert [r["position"] for r in stored(db)] == [1, 2]


def test_a_plain_insert_is_numbered(db: DictConnection) -> None:
    """People insert records without a position, several at once, with duplicates among them; the log numbers them."""
    connector = add_connector(db)
    append(db, connector, ["a"])
    db.execute(
        "insert into record (connector_id, key, payload)"
        " select %s, 'p' || n / 2, to_jsonb(n) from generate_series(2, 9) as n",
        (connector,),
    )
    assert [(r["position"], r["key"]) for r in stored(db)] == [(1, "k1"), (2, "p1"), (3, "p2"), (4, "p3"), (5, "p4")]
    assert head(db, connector) == 5


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("insert into record (connector_id, position, payload) values (1, 7, '{}')", "Leave position out"),
        ("insert into record (connector_id, payload) values (99, '{}')", "there is no connector 99"),
        ("select append_records(99, '[]')", "there is no connector 99"),
    ],
)
def test_what_would_break_the_log_is_refused(db: DictConnection, statement: str, says: str) -> None:
    """A position of one's own, or a connector that does not exist, is an error that says what to do."""
    add_connector(db)
    with pytest.raises(psycopg.Error, match=says):
        db.execute(statement.encode())


def test_page_and_cursor_go_together_and_only_from_where_it_was(db: DictConnection) -> None:
    """A writer that does not know where the cursor is stores nothing, and learns where it is."""
    connector = add_connector(db)
    page = json.dumps([{"key": "a", "payload": 1}])
    first = db.execute("select * from append_records(%s, %s, true, '1')", (connector, page)).fetchone()
    late = db.execute("select * from append_records(%s, '[{\"key\": 2}]', true, '9')", (connector,)).fetchone()
    assert first == {"stored": 1, "head": 1, "superseded": False, "cursor": 1}
    assert late == {"stored": 0, "head": 1, "superseded": True, "cursor": 1}
    assert head(db, connector) == 1


def test_a_reader_does_not_pass_what_is_not_committed_yet(database_url: str, db: DictConnection) -> None:
    """Two writers: the one that came first commits last; a reader sees neither before, and both after, in order."""
    connector = add_connector(db)
    with connect(database_url) as first, connect(database_url) as second:
        with first.transaction():
            append(first, connector, ["slow"])
            second.execute("set lock_timeout = '100 ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                append(second, connector, ["fast"], first=2)  # it waits its turn
            assert stored(db) == []
        append(second, connector, ["fast"], first=2)
    assert [(r["position"], r["payload"]) for r in stored(db)] == [(1, "slow"), (2, "fast")]


def test_a_rollback_leaves_no_gap(database_url: str, db: DictConnection) -> None:
    """What was rolled back was never numbered: the next record has the next position."""
    connector = add_connector(db)
    append(db, connector, ["a"])
    with connect(database_url) as other, other.transaction(force_rollback=True):
        append(other, connector, ["b", "c"], first=2)
    append(db, connector, ["d"], first=9)
    assert [(r["position"], r["payload"]) for r in stored(db)] == [(1, "a"), (2, "d")]


async def test_eight_writers_and_twenty_readers(database_url: str, db: DictConnection) -> None:
    """With random delays and rollbacks, every reader sees each committed record exactly once, in order, 1 to head."""
    connector = add_connector(db)
    info = conninfo(database_url)
    done = asyncio.Event()
    dice = random.Random(7)

    async def write(writer: int) -> list[str]:
        committed: list[str] = []
        async with await psycopg.AsyncConnection.connect(info, autocommit=True) as own:
            for batch in range(BATCHES):
                keys = [f"{writer}-{batch}-{n}" for n in range(dice.randint(1, 5))]
                fails = dice.random() < 0.3
                async with own.transaction(force_rollback=fails):
                    if dice.random() < 0.5:
                        items = json.dumps([{"key": key, "payload": {}} for key in keys])
                        await own.execute("select append_records(%s, %s)", (connector, items))
                    else:
                        for key in keys:
                            statement = "insert into record (connector_id, key, payload) values (%s, %s, '{}')"
                            await own.execute(statement, (connector, key))
                    await asyncio.sleep(dice.random() * 0.01)
                committed += [] if fails else keys
        return committed

    async def read() -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        async with await psycopg.AsyncConnection.connect(info, autocommit=True, row_factory=dict_row) as own:
            while True:
                last = done.is_set()
                after = seen[-1][0] if seen else 0
                rows = await own.execute(
                    "select position, key from record where connector_id = %s and position > %s order by position",
                    (connector, after),
                )
                seen += [(row["position"], row["key"]) for row in await rows.fetchall()]
                if last:
                    return seen
                await asyncio.sleep(dice.random() * 0.02)

    readers = [asyncio.create_task(read()) for _ in range(READERS)]
    written = await asyncio.gather(*map(write, range(WRITERS)))
    done.set()
    expected = sorted(key for keys in written for key in keys)
    for reader in readers:
        seen = await reader
        assert [position for position, _ in seen] == list(range(1, len(expected) + 1))
        assert sorted(key for _, key in seen) == expected
    assert head(db, connector) == len(expected)


@pytest.mark.parametrize(("start_from", "sees"), [("now", ["c"]), ("beginning", ["a", "b", "c"])])
def test_where_a_workflow_starts(db: DictConnection, start_from: str, sees: list[str]) -> None:
    """now: exactly the records stored after its start; beginning: all that are kept."""
    connector = add_connector(db)
    append(db, connector, ["a", "b"])
    workflow = add_workflow(db, connector, "http://127.0.0.1/", start_from=start_from)
    append(db, connector, ["c"], first=3)
    after = progress(db, workflow)["position"]
    assert [r["payload"] for r in stored(db) if r["position"] > after] == sees


def test_a_workflow_starts_at_any_instant(db: DictConnection) -> None:
    """A timestamp between two records, in start_from or as a started_at that has passed, is exactly there."""
    connector = add_connector(db)
    for number in range(1, 30):
        append(db, connector, [number], first=number)
    rows = db.execute("select position, created_at from record order by position").fetchall()
    for number, row in enumerate(rows):
        one = add_workflow(db, connector, "x", f"from {number}", start_from=str(row["created_at"]))
        two = add_workflow(db, connector, "x", f"at {number}", start_from="now", started_at=row["created_at"])
        assert progress(db, one)["position"] == row["position"]
        assert progress(db, two)["position"] == row["position"]


def test_a_workflow_that_is_inserted_beside_a_writer_starts_after_it(database_url: str, db: DictConnection) -> None:
    """A record that was stored before the workflow, but is committed only later, is not `now`'s."""
    connector = add_connector(db)
    with connect(database_url) as writer, connect(database_url) as user:
        with writer.transaction():
            append(writer, connector, ["before"])
            user.execute("set lock_timeout = '100 ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                add_workflow(user, connector, "x", start_from="now")  # it waits for the writer
        workflow = add_workflow(user, connector, "x", start_from="now")
    assert progress(db, workflow)["position"] == 1


def test_lag_is_a_view(db: DictConnection) -> None:
    """Lag in records and in seconds, per workflow; none for one that has caught up."""
    connector = add_connector(db)
    append(db, connector, list(range(10)))
    workflow = add_workflow(db, connector, "x")
    db.execute("update workflow_progress set position = 4 where workflow_id = %s", (workflow,))
    caught_up = add_workflow(db, connector, "x", "other", start_from="now")
    rows = {row["workflow_id"]: row for row in db.execute("select * from workflow_lag").fetchall()}
    assert (rows[workflow]["lag_records"], rows[workflow]["head"]) == (6, 10)
    assert rows[workflow]["lag_seconds"] > 0
    assert (rows[caught_up]["lag_records"], rows[caught_up]["lag_seconds"]) == (0, 0)


def test_a_connector_with_workflows_stays(db: DictConnection) -> None:
    """Deleting a connector takes its records along, and is refused while a workflow reads them."""
    connector = add_connector(db)
    append(db, connector, ["a"])
    workflow = add_workflow(db, connector, "x")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("delete from connector")
    db.execute("delete from workflow where id = %s", (workflow,))
    db.execute("delete from connector")
    assert stored(db) == []


def test_a_filter_that_is_no_predicate_is_refused(db: DictConnection) -> None:
    """A path that selects instead of judging would match nothing, silently; the row is refused and says why."""
    connector = add_connector(db)
    for wrong in ("$.a ==", "$.a", "$.items[*] ? (@.n > 1)"):
        with pytest.raises(psycopg.errors.CheckViolation, match="Write an SQL/JSON path predicate"):
            add_workflow(db, connector, "x", filter=wrong)
    add_workflow(db, connector, "x", filter='exists($.items[*] ? (@.n > 1)) && $.state != "closed"')
