"""Records are pruned below every watermark; none is lost, none stored twice, and who reads on notices nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from include.documents import watermark
from include.errors import ConfigError
from include.model import Record
from include.store import workflows
from include.store.db import DictConnection, connect
from include.store.log import RecordLog
from tests.log_rows import add_connector, add_workflow, append, progress
from tests.test_store import one
from tests.upkeep_rounds import DAY, NOW, changed, count, impatient, round_of

__all__ = ["impatient"]

OLD = NOW - 40 * DAY
NEW = NOW - 5 * DAY


def aged(db: DictConnection, connector_id: int, ages: list[int]) -> None:
    """Records `k1`, `k2`, ... that were stored so many days ago."""
    append(db, connector_id, [{"n": number} for number in range(1, len(ages) + 1)])
    for position, age in enumerate(ages, 1):
        db.execute(
            "update record set created_at = %s where connector_id = %s and position = %s",
            (NOW - age * DAY, connector_id, position),
        )


def through(db: DictConnection, workflow_id: int, position: int) -> None:
    db.execute("update workflow_progress set position = %s where workflow_id = %s", (position, workflow_id))


def positions(db: DictConnection, connector_id: int) -> list[int]:
    rows = db.execute("select position from record where connector_id = %s order by 1", (connector_id,))
    return [int(str(row["position"])) for row in rows]


@pytest.mark.parametrize(
    ("watermarks", "left"),
    [((6, 6), [5, 6]), ((3, 6), [4, 5, 6]), ((6, 0), [1, 2, 3, 4, 5, 6]), ((), [5, 6])],
)
async def test_records_go_below_every_watermark_and_by_age(
    database_url: str, db: DictConnection, watermarks: tuple[int, ...], left: list[int]
) -> None:
    """A record goes when it is old and every workflow has come past it, a paused one too; without workflows, by age."""
    connector = add_connector(db)
    aged(db, connector, [40, 35, 33, 31, 29, 1])
    for number, position in enumerate(watermarks):
        flow = add_workflow(db, connector, "http://localhost/", f"flow {number}", is_active=number == 0)
        through(db, flow, position)
    gone = 6 - len(left)
    assert await changed(database_url, "records", dry_run=True) == [gone]
    assert positions(db, connector) == [1, 2, 3, 4, 5, 6]
    assert await changed(database_url, "records") == [gone]
    assert positions(db, connector) == left
    assert await changed(database_url, "records") == [0]


async def test_a_workflow_that_is_to_begin_finds_what_it_will_begin_with(database_url: str, db: DictConnection) -> None:
    """A workflow that has not begun keeps everything if it is to have all; if it is to have what is new, nothing."""
    connector = add_connector(db)
    aged(db, connector, [40, 35, 1])
    later = add_workflow(db, connector, "http://localhost/", started_at=NOW + 10 * DAY)
    assert await changed(database_url, "records") == [0]
    db.execute("update workflow set start_from = %s where id = %s", ((NOW - 37 * DAY).isoformat(), later))
    assert await changed(database_url, "records") == [1]
    db.execute("update workflow set start_from = 'now' where id = %s", (later,))
    assert await changed(database_url, "records") == [1]


async def test_what_a_dead_letter_needs_stays_until_it_is_resolved(database_url: str, db: DictConnection) -> None:
    """The record of an open dead letter stays, and is no part of the log for those who read on or begin anew."""
    connector = add_connector(db)
    aged(db, connector, [40, 39, 38, 37, 1])
    flow = add_workflow(db, connector, "http://localhost/")
    through(db, flow, 4)
    db.execute(
        "insert into dead_letter (workflow_id, connector_id, position, error) values (%s, %s, 2, 'no')",
        (flow, connector),
    )
    assert await changed(database_url, "records") == [3]
    assert positions(db, connector) == [2, 5]
    fresh = add_workflow(db, connector, "http://localhost/", "fresh")
    assert progress(db, fresh)["position"] == 4
    since = add_workflow(db, connector, "http://localhost/", "since", start_from=(NOW - 39 * DAY).isoformat())
    assert progress(db, since)["position"] == 4
    assert one(db, "select lag_records from workflow_lag where workflow_id = %s", fresh) == {"lag_records": 1}
    db.execute("update dead_letter set status = 'discarded', resolved_at = now()")
    assert await changed(database_url, "records") == [1]
    assert positions(db, connector) == [5]


def shown(*items: tuple[str, Any]) -> str:
    return json.dumps([{"key": key, "payload": payload} for key, payload in items])


@pytest.mark.parametrize("dedupe", ["key", "content"])
async def test_what_was_pruned_is_not_stored_again(database_url: str, db: DictConnection, dedupe: str) -> None:
    """A source that still shows what was pruned stores nothing twice; a content that is new is stored, as the next
    version, if contents count."""
    connector = add_connector(db, dedupe=dedupe)
    append(db, connector, [{"n": 1}, {"n": 2}])
    append(db, connector, [{"n": 20}], first=2)
    db.execute("update record set created_at = %s", (OLD,))
    again = 3 if dedupe == "content" else 2
    assert await changed(database_url, "records") == [again]
    same = shown(("k1", {"n": 1}), ("k2", {"n": 20 if dedupe == "content" else 2}))
    statement = "select stored, head from append_records(%s, %s)"
    assert one(db, statement, connector, same) == {"stored": 0, "head": again}
    for key, n in (("k1", 1), ("k2", 20)):
        db.execute(
            "insert into record (connector_id, key, payload) values (%s, %s, %s)", (connector, key, f'{{"n": {n}}}')
        )
    assert one(db, "select head from connector") == {"head": again}
    other = shown(("k1", {"n": 9}), ("k1", {"n": 1}), ("k3", {"n": 3}))
    stored = 3 if dedupe == "content" else 1
    assert one(db, statement, connector, other) == {"stored": stored, "head": again + stored}
    versions = db.execute("select key, version, payload ->> 'n' as n from record order by position").fetchall()
    changes = [("k1", 2, "9"), ("k1", 3, "1")] if dedupe == "content" else []
    assert [tuple(row.values()) for row in versions] == [*changes, ("k3", 1, "3")]


async def test_an_older_version_that_a_dead_letter_keeps_hides_no_newer_one(
    database_url: str, db: DictConnection
) -> None:
    """While only the first content of a key is still there, its last one is known all the same: shown again it is not
    stored, and the first one, shown again, is a change."""
    connector = add_connector(db, dedupe="content")
    for n in (1, 2):
        append(db, connector, [{"n": n}])
    db.execute("update record set created_at = %s", (OLD,))
    flow = add_workflow(db, connector, "http://localhost/")
    through(db, flow, 2)
    letter = "insert into dead_letter (workflow_id, connector_id, position, error) values (%s, %s, 1, 'no')"
    db.execute(letter, (flow, connector))
    assert await changed(database_url, "records") == [1]
    assert positions(db, connector) == [1]
    statement = "select stored, head from append_records(%s, %s)"
    plain = "insert into record (connector_id, key, payload) values (%s, 'k1', %s)"
    assert one(db, statement, connector, shown(("k1", {"n": 2}))) == {"stored": 0, "head": 2}
    db.execute(plain, (connector, '{"n": 2}'))
    log = RecordLog(database_url)
    try:
        assert await log.deliver(connector, "again", [Record("k1", {"n": 2})]) == [2]
    finally:
        await log.close()
    with db.transaction(force_rollback=True):
        assert one(db, statement, connector, shown(("k1", {"n": 1}))) == {"stored": 1, "head": 3}
        assert one(db, "select version from record where position = 3") == {"version": 3}
    db.execute(plain, (connector, '{"n": 1}'))
    assert one(db, "select version from record where position = 3") == {"version": 3}


async def test_a_key_is_forgotten_only_when_its_source_has_not_shown_it_for_long(
    database_url: str, db: DictConnection
) -> None:
    """What the source still shows is known for ever; what it has not shown for the time that is set is forgotten."""
    connector = add_connector(db)
    aged(db, connector, [40, 40])
    assert await changed(database_url, "records", "keys") == [2, 0]
    db.execute("update pruned_key set seen_at = %s", (NOW - 366 * DAY,))
    db.execute("select append_records(%s, %s)", (connector, shown(("k1", {"n": 1}))))
    assert await changed(database_url, "keys") == [1]
    both = shown(("k1", {"n": 1}), ("k2", {"n": 2}))
    assert one(db, "select stored from append_records(%s, %s)", connector, both) == {"stored": 1}


async def test_a_push_of_what_was_pruned_is_answered_as_before(database_url: str, db: DictConnection) -> None:
    """A sender that pushes a record again, with another id, is told where it had been stored, and nothing is stored."""
    connector = add_connector(db)
    log = RecordLog(database_url)
    try:
        records = [Record("a", {"n": 1}), Record("b", {"n": 2})]
        assert await log.deliver(connector, "first", records) == [1, 2]
        db.execute("update record set created_at = %s where position = 1", (OLD,))
        assert await changed(database_url, "records") == [1]
        assert await log.deliver(connector, "second", records) == [1, 2]
        assert positions(db, connector) == [2]
    finally:
        await log.close()


def rewind(db: DictConnection, flow: int, to: str) -> watermark.Move:
    with db.transaction():
        return watermark.rewind(db, workflows.find(db, str(flow)), to, NOW, watermark.Words())


async def test_a_rewind_goes_back_as_far_as_the_log_and_says_how_far(database_url: str, db: DictConnection) -> None:
    """Before the beginning of the log nobody can go back: it is refused, and says where the log begins."""
    connector = add_connector(db)
    aged(db, connector, [40, 39, 5, 4, 3])
    flow = add_workflow(db, connector, "http://localhost/")
    through(db, flow, 5)
    assert await changed(database_url, "records") == [2]
    with pytest.raises(ConfigError, match="the log begins with record 3"):
        rewind(db, flow, "1")
    move = rewind(db, flow, (NOW - 50 * DAY).isoformat())
    assert (move.after, move.records, move.lost) == (2, 3, 0)
    through(db, flow, 5)
    assert rewind(db, flow, "3").records == 2


async def test_a_rewind_and_a_prune_at_once_lose_nothing(database_url: str, db: DictConnection) -> None:
    """Whichever comes first, what a person was told will be processed again is there to be processed."""
    connector = add_connector(db)
    flow = add_workflow(db, connector, "http://localhost/")
    for _ in range(5):
        head = one(db, "select head from connector")["head"]
        append(db, connector, [{"n": number} for number in range(20)], first=head + 1)
        db.execute("update record set created_at = %s", (OLD + timedelta(seconds=head),))
        through(db, flow, head + 20)
        pruning = asyncio.create_task(changed(database_url, "records"))

        def go_back(to: int = head + 10) -> watermark.Move | None:
            with connect(database_url) as other:
                try:
                    return rewind(other, flow, str(to))
                except ConfigError:
                    return None

        move = await asyncio.to_thread(go_back)
        await pruning
        if move is not None:
            assert positions(db, connector)[-10:] == list(range(head + 11, head + 21))
            assert progress(db, flow)["position"] == head + 10


async def test_a_source_that_appends_while_it_is_pruned_stores_each_key_once(
    database_url: str, db: DictConnection
) -> None:
    """A source that shows all of its records again and again, while they are pruned, has each stored once."""
    connector = add_connector(db)
    everything = shown(*((f"k{number}", {"n": number}) for number in range(3000)))
    db.execute("select append_records(%s, %s)", (connector, everything))
    db.execute("update record set created_at = %s", (OLD,))
    pruning = asyncio.create_task(changed(database_url, "records"))

    def show() -> int:
        with connect(database_url) as other:
            return int(str(one(other, "select stored from append_records(%s, %s)", connector, everything)["stored"]))

    stored = [await asyncio.to_thread(show)]
    while not pruning.done():
        stored.append(await asyncio.to_thread(show))
    assert await pruning == [3000]
    assert set(stored) == {0}
    assert await asyncio.to_thread(show) == 0


@pytest.mark.usefixtures("impatient")
async def test_a_connector_that_is_locked_keeps_no_other_from_being_pruned(
    database_url: str, db: DictConnection
) -> None:
    """One that somebody has locked is left for the next round, which is noted; the records of the others go."""
    first, second = add_connector(db, "first"), add_connector(db, "second")
    aged(db, first, [40])
    aged(db, second, [40])
    with psycopg.connect(database_url) as locking:
        locking.execute("select from millrace.connector where id = %s for update", (first,))
        done = await round_of(database_url, "records")
    assert done is not None
    assert (done["records"].changed, "lock timeout" in str(done["records"].error)) == (1, True)
    assert (positions(db, first), positions(db, second)) == ([1], [])


async def test_a_deleted_connector_leaves_nothing_behind(database_url: str, db: DictConnection) -> None:
    """What is known of pruned records goes with their connector."""
    connector = add_connector(db)
    aged(db, connector, [40])
    await changed(database_url, "records")
    assert (count(db, "pruned_key"), count(db, "pruned_log")) == (1, 1)
    db.execute("delete from connector")
    assert (count(db, "pruned_key"), count(db, "pruned_log")) == (0, 0)
