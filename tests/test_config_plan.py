"""A plan tells the truth: what would be refused is refused while it is made, and it stays true while others work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from include.errors import ConfigError, RefusedError
from include.store import access, workflows
from include.store.db import DictConnection, connect
from tests.api_client import ADMIN, ALICE
from tests.config_rows import URL, actions, applied, connector, exported, job, planned, workflow
from tests.log_rows import append

Document = dict[str, Any]
T = TypeVar("T")


def rows(db: DictConnection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in db.execute(sql.encode())]


def everything(db: DictConnection) -> list[tuple[Any, ...]]:
    tables = "job", "connector", "workflow", "workflow_progress", "budget", "owner_notify", "record", "audit"
    return rows(db, " union all ".join(f"select '{table}', to_jsonb(t) from {table} t" for table in tables))


def a_quota(db: DictConnection) -> Document:
    db.execute("insert into quota (owner, max_rows) values ('alice', 1)")
    return {"jobs": {"a": job(), "b": job()}}


def a_connection(db: DictConnection) -> Document:
    return {"jobs": {"a": job(kind="webhook", payload={"url": URL, "conn_id": "k"})}}


def an_admin_kind(db: DictConnection) -> Document:
    return {"jobs": {"a": {"kind": "shell", "payload": {"command": "true"}}}}


def a_name(db: DictConnection) -> Document:
    return {"connectors": {"a": connector(name="shop"), "b": connector(name="shop")}}


def a_budget(db: DictConnection) -> Document:
    return {"connectors": {"a": connector(budget="none")}}


def a_filter(db: DictConnection) -> Document:
    return {"connectors": {"c": connector()}, "workflows": {"a": workflow("c", filter="$.(")}}


def a_reader(db: DictConnection) -> Document:
    applied(db, {"owner": "alice", "connectors": {"a": connector(name="read")}}, {"workflows": {"w": workflow("read")}})
    return {}


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (a_quota, r"documents\.0\.jobs\.b: quota: 1 rows are the most"),
        (a_connection, r"documents\.0\.jobs\.a: conn_id: k is not among the connections"),
        (an_admin_kind, r"documents\.0\.jobs\.a: kind 'shell' is for admins"),
        (a_name, r"documents\.0\.connectors\.b: this owner has a connector with this name already"),
        (a_budget, r"documents\.0\.connectors\.a\.budget: there is no budget of this name"),
        (a_filter, r"documents\.0\.workflows\.a\.filter: it is not a path"),
        (a_reader, r"connectors\.a: workflows read its records"),
    ],
)
def test_a_plan_is_refused_as_applying_it_would_be(
    db: DictConnection, prepare: Callable[[DictConnection], Document], said: str
) -> None:
    """What only the tables know is told by the plan already, at the same place and in the same words."""
    written = prepare(db)
    before = everything(db)
    for make in (planned, applied):
        with pytest.raises((ConfigError, RefusedError), match=said):
            make(db, written, caller=ALICE, prune=True)
    assert everything(db) == before


def test_a_plan_leaves_everything_as_it_is(db: DictConnection) -> None:
    """Rows to add, to change, to make anew and to delete, records, budgets and notifies are as before, and the plan is
    what is then done."""
    budgets = {"old": {"rate_limit": "1/day"}, "same": {"rate_limit": "1/day"}}
    gone = {"gone": connector(budget="old"), "c": connector()}
    applied(
        db,
        {"budgets": budgets, "notify": {"admin": {"on": []}}, "connectors": gone, "jobs": {"a": job(), "x": job()}},
        {"owner": "bob", "connectors": {"b": connector(name="shop")}, "workflows": {"w": workflow("b")}},
    )
    append(db, 2, [{}, {}])
    before = everything(db)
    wanted = {
        "budgets": {"same": {"rate_limit": "2/day"}},
        "connectors": {"c": {"kind": "feed", "config": {"url": URL}, "name": "gone"}},
        "jobs": {"a": job(name="x"), "b": job()},
        "workflows": {"w": workflow("c")},
    }
    plan = planned(db, wanted, prune=True)
    assert everything(db) == before
    assert plan.of("connectors", "delete")[0].records == 2
    done = applied(db, wanted, prune=True, replace=True, fingerprint=plan.fingerprint)
    assert actions(done) == actions(plan)
    assert planned(db, wanted, prune=True).steps == ()


def test_records_that_come_in_do_not_make_a_plan_untrue(db: DictConnection) -> None:
    """A connector that is pulled while people look at the plan can be deleted all the same."""
    applied(db, {"connectors": {"c": connector()}})
    shown = planned(db, {}, prune=True)
    append(db, 1, [{}])
    applied(db, {}, prune=True, fingerprint=shown.fingerprint)
    assert rows(db, "select from connector") == []


def test_a_notify_that_was_changed_is_not_deleted(db: DictConnection) -> None:
    """A plan to delete a notify is no longer true once the notify says something else."""
    applied(db, {"notify": {"admin": {"on": []}}})
    shown = planned(db, {}, prune=True)
    applied(db, {"notify": {"admin": {"on": ["missed"], "kind": "webhook", "payload": {"url": URL}}}})
    with pytest.raises(RefusedError, match="rows have changed since the plan was made"):
        applied(db, {}, prune=True, fingerprint=shown.fingerprint)


def test_a_notify_is_of_a_kind_that_its_writer_may_use(db: DictConnection) -> None:
    """Kinds for admins are for admins in notifies, too."""
    alice = replace(ALICE, admin_kinds=frozenset({"webhook"}))
    written = {"notify": {"alice": {"kind": "webhook", "payload": {"url": URL}}}}
    with pytest.raises(RefusedError, match=r"documents\.0\.notify\.alice: kind 'webhook' is for admins"):
        planned(db, written, caller=alice)
    applied(db, written, caller=ADMIN)
    assert planned(db, written, caller=alice).steps == ()


def test_a_new_name_is_one_change(db: DictConnection) -> None:
    """The audit has names that rows had, and no others, unless rows exchange theirs."""
    applied(db, {"jobs": {"a": job(name="one"), "b": job(name="two")}})
    applied(db, {"jobs": {"a": job(name="two"), "b": job(name="three")}})
    assert rows(db, "select name from job order by id") == [("two",), ("three",)]
    assert rows(db, "select new ->> 'name' from audit where operation = 'update' order by id")[-1:] == [("three",)]
    applied(db, {"jobs": {"a": job(name="four"), "b": job(name="three")}})
    assert rows(db, "select new ->> 'name' from audit order by id desc limit 2") == [("four",), ("three",)]


def beside(database_url: str, db: DictConnection, call: Callable[[DictConnection], T]) -> Future[T]:
    """The call, begun in a connection of its own, once it waits for what this one has locked."""

    def work() -> T:
        with connect(database_url, via="test") as connection:
            return call(connection)

    pool = ThreadPoolExecutor(1)
    begun = pool.submit(work)
    pool.shutdown(wait=False)
    while not db.execute("select from pg_locks where not granted").fetchall():
        assert not begun.done(), begun.result()
    return begun


def test_applying_does_not_block_somebody_who_changes_a_row(database_url: str, db: DictConnection) -> None:
    """Rows are locked before their owner is, as by everybody: whoever has a row, and adds to what its owner has, need
    not wait for an application that waits for the row."""
    applied(db, {"jobs": {"a": job()}})
    wanted = {"connectors": {"c": connector()}, "jobs": {"a": job(retries=1)}}
    with db.transaction():
        db.execute("select from job for no key update")
        begun = beside(database_url, db, lambda other: applied(other, wanted))
        db.execute("set local lock_timeout = '500ms'")
        access.lock_owner(db, "admin")
    begun.result()
    assert rows(db, "select retries from job") == [(1,)]


def test_an_export_is_of_one_instant(database_url: str, db: DictConnection) -> None:
    """What is added while an export is made is in it as a whole, or not at all."""
    applied(db, {"connectors": {"a": connector()}})
    before = exported(db)
    with db.transaction():
        db.execute("lock table workflow")
        begun = beside(database_url, db, exported)
        applied(db, {"connectors": {"b": connector()}, "workflows": {"w": workflow("b")}})
    assert begun.result() == before
    assert "connector: b" in exported(db)


def test_a_workflow_that_is_given_away_is_no_longer_its_owners(database_url: str, db: DictConnection) -> None:
    """Who waits for a row, to change it, gets nothing if it has become somebody else's meanwhile."""
    applied(db, {"owner": "alice", "connectors": {"c": connector()}, "workflows": {"w": workflow("c")}})
    with db.transaction():
        db.execute("update workflow set owner = 'bob'")
        begun = beside(database_url, db, lambda other: workflows.get(other, 1, "alice", lock=True))
    assert begun.result() is None
