"""Which connector a workflow means in documents, where several owners have one of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.documents.invalid import InvalidDocumentError
from include.errors import RefusedError
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB
from tests.config_rows import actions, applied, connector, exported, planned, read, workflow
from tests.conftest import EMPTY

Document = dict[str, Any]
READS = """
    select w.name, c.owner, c.name as connector from workflow w join connector c on c.id = w.connector_id order by w.id
"""


def reads(db: DictConnection) -> list[tuple[Any, ...]]:
    """Of each workflow, whose connector it reads, and which."""
    return [tuple(row.values()) for row in db.execute(READS.encode())]


def of(owner: str, **sections: Any) -> Document:
    return {"owner": owner, **sections}


def everybodys(db: DictConnection) -> None:
    """Alice, Bob and the admin have a connector `shop` each."""
    applied(db, *(of(owner, connectors={f"of {owner}": connector(name="shop")}) for owner in ("alice", "bob", "admin")))


def test_a_name_means_the_owners_own_connector(db: DictConnection) -> None:
    """Whoever applies it, and whoever else has one of that name."""
    everybodys(db)
    applied(db, of("bob", workflows={"w": workflow("shop")}), {"workflows": {"v": workflow("shop")}})
    applied(db, {"workflows": {"x": workflow("shop")}}, caller=ALICE)
    assert reads(db) == [("v", "admin", "shop"), ("w", "bob", "shop"), ("x", "alice", "shop")]


def test_a_name_that_several_others_have_is_not_guessed(db: DictConnection) -> None:
    """The error has its place, and names the owners, of which one is written then; a user learns of nobody."""
    everybodys(db)
    written = of("carol", workflows={"w": workflow("shop")})
    said = r"workflows\.w\.connector: several owners have a connector named 'shop'; .*: admin, alice, bob"
    for make in (planned, applied):
        with pytest.raises(InvalidDocumentError, match=said):
            make(db, written)
    applied(db, of("carol", workflows={"w": workflow("shop", connector_owner="bob")}))
    assert reads(db) == [("w", "bob", "shop")]
    with pytest.raises(InvalidDocumentError, match="there is no connector named 'shop' of 'dave'"):
        planned(db, of("carol", workflows={"w": workflow("shop", connector_owner="dave")}))
    db.execute("delete from workflow; delete from connector where owner = 'alice'")
    for entry in (workflow("shop"), workflow("shop", connector_owner="bob"), workflow("zz", connector_owner="bob")):
        with pytest.raises(InvalidDocumentError, match=r"workflows\.w\.connector: there is no connector"):
            planned(db, {"workflows": {"w": entry}}, caller=ALICE)


def test_an_export_of_everybody_comes_back_to_the_byte(db: DictConnection, tmp_path: Path) -> None:
    """Also where names, keys and others' names are the same: it says whose connector it is, where that is not clear."""
    everybodys(db)
    applied(db, {"connectors": {"shop": connector(name="other")}})
    for reader in ("alice", "carol", "admin"):
        entries = {f"{reader} {owner}": workflow("shop", connector_owner=owner) for owner in ("alice", "bob", "admin")}
        applied(db, of(reader, workflows=entries))
    before, said = reads(db), exported(db)
    assert [owner for _, owner, _ in before] == sorted(["alice", "bob", "admin"]) * 3
    assert said.count("connector_owner:") == 7
    assert planned(db, *read(said, tmp_path), prune=True).steps == ()
    db.execute(EMPTY.encode())
    applied(db, *read(said, tmp_path))
    assert (exported(db), sorted(reads(db))) == (said, sorted(before))


def test_a_workflow_that_an_admin_put_there_stays_as_its_owner_exports_it(db: DictConnection, tmp_path: Path) -> None:
    """Bob exports and applies a workflow that reads Alice's connector, though he sees no other of hers."""
    everybodys(db)
    applied(db, of("bob", workflows={"w": workflow("shop", connector_owner="alice")}))
    said = exported(db, BOB)
    assert planned(db, *read(said, tmp_path), prune=True, caller=BOB).steps == ()
    more = read(said.replace("  w:\n", "  w:\n    retries: 7\n"), tmp_path)
    assert actions(applied(db, *more, caller=BOB)) == [("workflows", "change", "w")]
    assert reads(db) == [("w", "alice", "shop")]


def test_another_owners_connector_is_another_connector(db: DictConnection) -> None:
    """To read it, the workflow is made anew, and that must be allowed."""
    everybodys(db)
    applied(db, {"workflows": {"w": workflow("shop")}})
    other = {"workflows": {"w": workflow("shop", connector_owner="bob")}}
    plan = planned(db, other)
    assert [(step.action, step.columns) for step in plan.steps] == [("replace", {"connector_owner": (None, "bob")})]
    with pytest.raises(RefusedError, match="another connector to read"):
        applied(db, other)
    applied(db, other, replace=True)
    assert reads(db) == [("w", "bob", "shop")]


def test_a_plan_says_whose_connector_it_is_only_where_that_is_said(db: DictConnection) -> None:
    """A new workflow on its owner's own connector shows its name, and nothing of owners."""
    plan = planned(db, {"connectors": {"c": connector()}, "workflows": {"w": workflow("c")}})
    assert "connector_owner" not in plan.of("workflows", "add")[0].columns


def test_names_may_go_from_one_to_another_meanwhile(db: DictConnection) -> None:
    """What a name means is what it will mean once all is done."""
    applied(db, of("alice", connectors={"a": connector(name="shop"), "b": connector(name="news")}))
    hers = {"a": connector(name="news"), "b": connector(name="shop")}
    wanted = of("bob", workflows={"w": workflow("shop")})
    applied(db, of("alice", connectors=hers), wanted)
    assert reads(db) == [("w", "alice", "shop")]
    assert db.execute("select external_id from connector where name = 'shop'").fetchall() == [{"external_id": "b"}]
    assert planned(db, of("alice", connectors=hers), wanted).steps == ()
