"""Applying documents makes the rows as they say: matched by key, all or nothing, within the rights of the caller."""

from __future__ import annotations

from typing import Any

import pytest

from include.documents.invalid import InvalidDocumentError
from include.errors import RefusedError, TakenError
from include.store import jobs
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, VIEWER
from tests.config_rows import URL, actions, applied, connector, exported, job, planned, workflow
from tests.log_rows import append


def rows(db: DictConnection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in db.execute(sql.encode())]


def test_rows_are_added_changed_and_left_alone(db: DictConnection) -> None:
    """The first time rows are added, the second time there is nothing to do, and then only what differs changes; a
    column that is left out gets its default."""
    first = applied(db, {"jobs": {"a": job(retries=7), "b": job(name="Bee")}})
    assert actions(first) == [("jobs", "add", "a"), ("jobs", "add", "b")]
    again = applied(db, {"jobs": {"a": job(retries=7), "b": job(name="Bee")}})
    assert (again.steps, again.unchanged) == ((), 2)
    changed = applied(db, {"jobs": {"a": job(), "b": job(name="Bee")}})
    assert actions(changed) == [("jobs", "change", "a")]
    assert changed.steps[0].columns == {"retries": (7, 3)}
    assert rows(db, "select external_id, name, retries, owner from job order by id") == [
        ("a", "a", 3, "admin"),
        ("b", "Bee", 3, "admin"),
    ]
    assert rows(db, "select count(*) from audit") == [(3,)]


def test_a_row_is_known_by_its_external_id_or_else_by_its_name(db: DictConnection) -> None:
    """Rows that people made are taken over under their name, and keep it when it changes later; a row that has an
    external_id is known by nothing else."""
    for name, external_id in (("by hand", None), ("Report", None), ("taken", "elsewhere")):
        jobs.insert(db, {"name": name, "kind": "ping", "payload": {"url": URL}, "external_id": external_id})
    files = {"by hand": job(name="renamed"), "report": job(name="Report")}
    assert actions(applied(db, {"jobs": files})) == [("jobs", "change", "by hand"), ("jobs", "change", "report")]
    assert rows(db, "select id, external_id, name from job order by id") == [
        (1, "by hand", "renamed"),
        (2, "report", "Report"),
        (3, "elsewhere", "taken"),
    ]
    with pytest.raises(TakenError, match=r"documents\.0\.jobs\.taken: this owner has a job with this name") as refused:
        applied(db, {"jobs": {"taken": job()}})
    assert "(it is job 3, and its key is 'elsewhere')" in str(refused.value)
    with pytest.raises(TakenError, match=r"and its key is 'elsewhere'"):
        planned(db, {"jobs": {"taken": job()}})


def test_what_is_state_and_not_configuration_is_left_alone(db: DictConnection) -> None:
    """A pause that ends, and what a connector has pulled, are as they were after a change."""
    applied(db, {"jobs": {"a": job()}, "connectors": {"c": connector()}})
    db.execute("update job set paused_until = '2100-01-01'")
    db.execute("update connector set cursor = '7', head = 7, paused_until = '2100-01-01'")
    assert planned(db, {"jobs": {"a": job()}, "connectors": {"c": connector()}}).steps == ()
    applied(db, {"jobs": {"a": job(retries=1)}, "connectors": {"c": connector(every="6m")}})
    assert rows(db, "select retries, paused_until is not null from job") == [(1, True)]
    assert rows(db, "select every::text, head, cursor, paused_until is not null from connector") == [
        ("00:06:00", 7, 7, True)
    ]
    assert "paused_until" not in exported(db)


def test_prune_deletes_what_no_document_has_of_their_owners_only(db: DictConnection) -> None:
    """Without prune nothing is deleted; with it, rows, notifies and unused budgets go, those of other owners stay."""
    mine = {
        "budgets": {"used": {"rate_limit": "1/second"}, "unused": {"rate_limit": "1/second"}},
        "notify": {"admin": {"on": []}},
        "connectors": {"c": connector(budget="used")},
        "jobs": {"a": job()},
        "workflows": {"w": workflow("c")},
    }
    hers = {"owner": "alice", "connectors": {"hers": connector(budget="used")}, "jobs": {"a": job()}}
    applied(db, mine, hers)
    assert planned(db, {}).steps == ()
    assert ("budgets", "delete", "unused") not in actions(planned(db, {}, prune=True))
    done = applied(db, {"budgets": {}}, prune=True)
    assert actions(done) == [
        ("budgets", "delete", "unused"),
        ("notify", "delete", "admin"),
        ("connectors", "delete", "c"),
        ("jobs", "delete", "a"),
        ("workflows", "delete", "w"),
    ]
    assert rows(db, "select owner from job union all select owner from connector") == [("alice",), ("alice",)]
    assert rows(db, "select name from budget") == [("used",)]


def test_all_happens_or_nothing(db: DictConnection) -> None:
    """Where the last row is refused, the first one is not there either, and the error says where it was written."""
    with pytest.raises(TakenError, match=r"documents\.0\.jobs\.z: this owner has a job with this name"):
        applied(db, {"jobs": {"a": job(), "y": job(name="same"), "z": job(name="same")}})
    with pytest.raises(InvalidDocumentError) as caught:
        applied(db, {"jobs": {"a": job(), "b": job(kind="pong"), "c": job(payload={}), "d": {"kind": "ping", "x": 1}}})
    assert [place for place, _ in caught.value.problems] == ["documents.0.jobs.d.x"]
    with pytest.raises(InvalidDocumentError) as caught:
        applied(db, {"jobs": {"a": job(), "b": job(kind="pong"), "c": job(payload={})}})
    places = [place for place, _ in caught.value.problems]
    assert places == ["documents.0.jobs.b.kind", "documents.0.jobs.c.payload.url"]
    assert rows(db, "select name from job") == []


def test_names_may_go_from_one_row_to_another(db: DictConnection) -> None:
    """Rows that swap their names, or take that of a row that goes, are what the documents say afterwards."""
    applied(db, {"jobs": {"a": job(name="one"), "b": job(name="two"), "c": job(name="three")}})
    swapped = {"a": job(name="two"), "b": job(name="one"), "d": job(name="three")}
    applied(db, {"jobs": swapped}, prune=True)
    assert rows(db, "select external_id, name from job order by external_id") == [
        ("a", "two"),
        ("b", "one"),
        ("d", "three"),
    ]


def test_a_workflow_names_its_connector_by_key_or_by_name(db: DictConnection) -> None:
    """In documents of the same owner by the key, whatever its name becomes; else by the name of one that exists."""
    applied(db, {"owner": "alice", "connectors": {"hers": connector(name="shop")}})
    both = {"connectors": {"mine": connector(name="news")}, "workflows": {"w": workflow("mine"), "v": workflow("shop")}}
    applied(db, both)
    reads = "select w.name, c.name as reads from workflow w join connector c on c.id = w.connector_id order by 1"
    assert rows(db, reads) == [("v", "shop"), ("w", "news")]
    both["connectors"]["mine"]["name"] = "tidings"
    assert actions(applied(db, both)) == [("connectors", "change", "mine")]
    assert rows(db, reads) == [("v", "shop"), ("w", "tidings")]
    with pytest.raises(InvalidDocumentError, match=r"workflows\.w\.connector: there is no connector 'gone'"):
        planned(db, {"workflows": {"w": workflow("gone")}})
    with pytest.raises(InvalidDocumentError, match="there is no connector 'news'"):
        planned(db, {"workflows": {"x": workflow("news")}}, caller=ALICE)


def test_what_cannot_change_is_made_anew_only_if_that_is_said(db: DictConnection) -> None:
    """Another kind of connector, or another connector to read, loses records or a watermark: the plan says so, with how
    many records, and it is done with `replace` only."""
    before = {"connectors": {"c": connector(), "d": connector()}, "workflows": {"w": workflow("c"), "v": workflow("d")}}
    applied(db, before)
    append(db, 1, [{}, {}, {}])
    feed = {"kind": "feed", "config": {"url": URL}}
    after = {"connectors": {"c": feed, "d": connector()}, "workflows": {"w": workflow("c"), "v": workflow("c")}}
    found = planned(db, after)
    assert actions(found) == [
        ("connectors", "replace", "c"),
        ("workflows", "replace", "v"),
        ("workflows", "replace", "w"),
    ]
    assert found.steps[0].records == 3
    with pytest.raises(
        RefusedError, match=r"0\.connectors\.c: with another kind.* \(so it is with workflows\.v, workflows\.w\)"
    ):
        applied(db, after)
    applied(db, after, replace=True)
    assert rows(db, "select external_id, kind, head from connector order by id") == [("d", "rest", 0), ("c", "feed", 0)]
    reads = "select distinct c.external_id from workflow w join connector c on c.id = w.connector_id"
    assert rows(db, reads) == [("c",)]


def test_a_plan_that_is_no_longer_true_is_not_applied(db: DictConnection) -> None:
    """Who changes, adds or deletes one of the rows after the plan was shown, makes applying it a 409."""
    applied(db, {"jobs": {"a": job()}})
    wanted = {"jobs": {"a": job(retries=1), "b": job()}}
    shown = planned(db, wanted).fingerprint
    db.execute("update job set timeout = '31 s'")
    with pytest.raises(RefusedError, match="rows have changed since the plan was made"):
        applied(db, wanted, fingerprint=shown)
    applied(db, wanted, fingerprint=planned(db, wanted).fingerprint)
    assert rows(db, "select retries, timeout::text from job order by id") == [(1, "00:00:30"), (3, "00:00:30")]


def test_users_apply_what_is_theirs(db: DictConnection) -> None:
    """Rows of others, budgets, and kinds and connections for admins are a 403; a viewer may not even plan."""
    applied(db, {"jobs": {"a": job()}}, {"owner": "alice", "jobs": {"b": job()}}, caller=ADMIN)
    for written, said in (
        ({"owner": "bob", "jobs": {"a": job()}}, "documents.0.owner: rows of your own only"),
        ({"notify": {"bob": {"on": []}}}, "documents.0.notify.bob: rows of your own only"),
        ({"budgets": {}}, "budgets are for admins"),
        (
            {"jobs": {"s": {"kind": "shell", "payload": {"command": "true"}, "every": "5m"}}},
            "kind 'shell' is for admins",
        ),
        ({"jobs": {"s": job(kind="webhook", payload={"url": URL, "conn_id": "k"})}}, "k is not among the connections"),
        ({"notify": {"alice": {"kind": "slack", "payload": {"conn_id": "k", "channel": "#x"}}}}, "k is not among"),
    ):
        with pytest.raises(RefusedError, match=said) as caught:
            applied(db, written, caller=ALICE)
        assert caught.value.status == 403
    assert actions(applied(db, {"jobs": {"c": job()}}, caller=ALICE, prune=True)) == [
        ("jobs", "add", "c"),
        ("jobs", "delete", "b"),
    ]
    assert rows(db, "select owner, name from job order by id") == [("admin", "a"), ("alice", "c")]
    assert "a:" not in exported(db, ALICE)
    with pytest.raises(RefusedError, match="may look"):
        planned(db, {}, caller=VIEWER)


def test_a_quota_counts_for_all_that_is_applied(db: DictConnection) -> None:
    """More rows than the owner may have are refused, all of them."""
    db.execute("insert into quota (owner, max_rows) values ('alice', 2)")
    with pytest.raises(RefusedError, match=r"documents\.0\.jobs\.c: quota: 2 rows are the most"):
        applied(db, {"jobs": {name: job() for name in "abc"}}, caller=ALICE)
    assert rows(db, "select name from job") == []
