"""What admins lay down for owners, over HTTP: connections, quotas, budgets; whom owners have told; who one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.log_rows import add_connector, add_workflow
from tests.test_store import one

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
HOOK = {"kind": "webhook", "payload": {"url": URL}}


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def signed(conn_id: str = "key", **settings: Any) -> dict[str, Any]:
    job = {"name": "a", "kind": "webhook", "payload": {"url": URL, "conn_id": conn_id}, "every": "5m"}
    return {**job, **settings}


def granted(api: Api, owner: str = "alice", conn_id: str = "key") -> int:
    return int(ok(api.post("/grants", {"owner": owner, "conn_id": conn_id}), 201)["id"])


def test_what_is_laid_down_is_for_admins(api: Api) -> None:
    """Nobody else reads or writes it, not even of himself."""
    for caller in (ALICE, VIEWER):
        who = api.as_(caller)
        for answer in (
            who.get(f"/owners/{caller.name}"),
            who.put(f"/owners/{caller.name}/quota", {}),
            who.delete(f"/owners/{caller.name}/quota"),
            who.get("/grants"),
            who.post("/grants", {"owner": caller.name, "conn_id": "key"}),
            who.delete("/grants/1"),
            who.get("/budgets"),
            who.get("/budgets/b"),
            who.put("/budgets/b", {"rate_limit": "1/second"}),
            who.delete("/budgets/b"),
            who.get("/owners/bob/notify"),
        ):
            assert "admins" in problem(answer, 403)
    problem(api.as_(None).get("/me"), 401)


def test_a_grant_lets_its_owner_name_the_connection(api: Api) -> None:
    """From then on his rows may name it; granting it again is no second grant."""
    problem(api.as_(ALICE).post("/jobs", signed()), 403)
    first = granted(api)
    assert ok(api.post("/grants", {"owner": "alice", "conn_id": "key"}), 200)["id"] == first
    ok(api.as_(ALICE).post("/jobs", signed()), 201)
    problem(api.as_(BOB).post("/jobs", signed()), 403)
    granted(api, "*")
    ok(api.as_(BOB).post("/jobs", signed()), 201)


def test_grants_are_listed_page_by_page(api: Api) -> None:
    """Each once, in the order of their ids, by owner or by connection if asked for."""
    made = [granted(api, owner, conn_id) for conn_id in ("a", "b") for owner in ("alice", "bob", "*")]
    first = ok(api.get("/grants", limit=4))
    rest = ok(api.get("/grants", limit=4, cursor=first["next"]))
    assert [item["id"] for item in first["items"] + rest["items"]] == made
    assert {item["conn_id"] for item in ok(api.get("/grants", owner="*"))["items"]} == {"a", "b"}
    assert {item["owner"] for item in ok(api.get("/grants", conn_id="b"))["items"]} == {"alice", "bob", "*"}


def test_revoking_says_what_goes_on(api: Api, db: DictConnection) -> None:
    """Rows of the owner that use the connection, named or by themselves, are listed; they still run."""
    grant = granted(api, conn_id="smtp_default")
    mail = {"to": ["a@example.com"], "subject": "s", "text": "t"}
    ok(api.as_(ALICE).post("/jobs", signed(kind="email", payload=mail)), 201)
    told = {"kind": "email", "payload": {"to": ["a@example.com"]}}
    ok(api.as_(ALICE).post("/jobs", {"name": "b", **HOOK, "notify": told}), 201)
    ok(api.as_(ALICE).put("/owners/alice/notify", told))
    connector = add_connector(db, owner="alice", config={"conn_id": "smtp_default"})
    add_workflow(db, connector, URL, owner="bob", payload={"url": URL, "conn_id": "smtp_default"})
    ok(api.as_(ALICE).post("/jobs", {"name": "c", **HOOK}), 201)
    answer = ok(api.delete(f"/grants/{grant}"))
    assert answer["grant"]["conn_id"] == "smtp_default"
    used = [(row["table"], row["name"], row["owner"]) for row in answer["still_in_use"]]
    assert used == [
        ("connector", "source", "alice"),
        ("job", "a", "alice"),
        ("job", "b", "alice"),
        ("owner_notify", "notify", "alice"),
    ]
    assert answer["detail"].startswith("4 rows go on using it")
    assert one(db, "select count(*) as rows from job where is_active") == {"rows": 3}
    problem(api.delete(f"/grants/{grant}"), 404)


def test_what_is_granted_otherwise_is_no_concern(api: Api) -> None:
    """A row whose owner may name the connection by another grant is not listed; everybody's grant is about all rows."""
    mine, everybodys = granted(api), granted(api, "*")
    ok(api.as_(ALICE).post("/jobs", signed()), 201)
    ok(api.as_(BOB).post("/jobs", signed()), 201)
    answer = ok(api.delete(f"/grants/{everybodys}"))
    assert [row["owner"] for row in answer["still_in_use"]] == ["bob"]
    assert [row["owner"] for row in ok(api.delete(f"/grants/{mine}"))["still_in_use"]] == ["alice"]


def test_a_quota_holds_until_it_is_taken_away(api: Api) -> None:
    """An owner's own is in place of everybody's, whole; without it, everybody's counts again."""
    everybody = ok(api.get("/owners/alice"))["quota"]
    assert (everybody["is_own"], everybody["max_rows"], everybody["min_interval"]) == (False, 1000, 1.0)
    own = ok(api.put("/owners/alice/quota", {"max_rows": 0, "min_interval": "1m"}))
    limits = {"max_rows": 0, "max_fires_per_minute": None, "min_interval": 60.0, "max_bytes": None}
    assert own == {**limits, "is_own": True}
    assert ok(api.get("/owners/alice"))["quota"] == own
    assert "0 rows are the most" in problem(api.as_(ALICE).post("/jobs", {"name": "a", **HOOK}), 403)
    assert api.delete("/owners/alice/quota").status_code == 204
    ok(api.as_(ALICE).post("/jobs", {"name": "a", **HOOK}), 201)
    assert ok(api.get("/owners/alice"))["quota"] == everybody
    assert "no quota of his own" in problem(api.delete("/owners/alice/quota"), 404)
    assert "can be changed" in problem(api.delete("/owners/*/quota"), 422)


@pytest.mark.parametrize(
    "bad",
    [
        {"max_rows": -1},
        {"max_rows": 2**31},
        {"max_bytes": 2**63},
        {"max_fires_per_minute": -0.5},
        {"min_interval": "soon"},
        {"max_lines": 5},
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(api: Api, db: DictConnection, bad: dict[str, Any]) -> None:
    """It is a 422, and nothing is stored."""
    problem(api.put("/owners/alice/quota", bad), 422)
    assert one(db, "select count(*) as rows from quota") == {"rows": 1}


def test_changes_of_quotas_are_audited(api: Api) -> None:
    """Who has set which limit is in the audit; setting the same again is no change."""
    for _ in range(2):
        ok(api.put("/owners/alice/quota", {"max_rows": 5}))
    [entry] = ok(api.get("/audit", table="quota"))["items"]
    assert (entry["actor"], entry["changes"]["max_rows"]) == ("admin", [None, 5])


def test_budgets_are_added_changed_and_removed(api: Api, db: DictConnection) -> None:
    """A budget that connectors share cannot go before they have let go of it."""
    assert ok(api.put("/budgets/git hub", {"rate_limit": "10/second"}), 201)["connectors"] == 0
    assert ok(api.put("/budgets/git hub", {"rate_limit": "5/second"}), 200)["rate_limit"] == "5/second"
    ok(api.put("/budgets/other", {"rate_limit": "1/day"}), 201)
    connector = add_connector(db, budget="git hub")
    first = ok(api.get("/budgets", limit=1))
    second = ok(api.get("/budgets", limit=1, cursor=first["next"]))
    assert [(b["name"], b["connectors"]) for b in first["items"] + second["items"]] == [("git hub", 1), ("other", 0)]
    assert "'source' (1)" in problem(api.delete("/budgets/git hub"), 409)
    db.execute("update connector set budget = null where id = %s", (connector,))
    assert api.delete("/budgets/git hub").status_code == 204
    problem(api.delete("/budgets/git hub"), 404)
    problem(api.get("/budgets/git hub"), 404)
    for name, limit in (("a", "10/fortnight"), ("a", "0/second"), (" a", "1/day"), ("a%00", "1/day"), ("a", 1)):
        problem(api.put(f"/budgets/{name}", {"rate_limit": limit}), 422)
    assert one(db, "select count(*) as rows from budget") == {"rows": 1}


def test_an_owner_says_whom_to_tell(api: Api, db: DictConnection) -> None:
    """He reads, writes and removes his own, with connections that are listed for him; a viewer only reads."""
    alice = api.as_(ALICE)
    assert "has nobody told" in problem(alice.get("/owners/alice/notify"), 404)
    said = {**HOOK, "on": ["failure"], "after": 2}
    assert ok(alice.put("/owners/alice/notify", said))["notify"] == said
    assert ok(alice.get("/owners/alice/notify"))["notify"] == ok(alice.get("/me"))["notify"] == said
    assert ok(alice.put("/owners/alice/notify", {"on": []}))["notify"] == {"on": []}
    assert alice.delete("/owners/alice/notify").status_code == 204
    problem(alice.delete("/owners/alice/notify"), 404)
    problem(api.as_(VIEWER).put("/owners/viewer/notify", said), 403)
    problem(alice.put("/owners/bob/notify", said), 403)
    assert one(db, "select count(*) as rows from owner_notify") == {"rows": 0}


def test_a_notify_that_could_not_tell_anybody_is_refused(api: Api, db: DictConnection) -> None:
    """What is wrong is said; a connection that is not listed is refused, unless an admin has put it there."""
    alice = api.as_(ALICE)
    keyed = {"kind": "webhook", "payload": {"url": URL, "conn_id": "key"}}
    for bad, said in (
        ({"kind": "smoke"}, "smoke"),
        ({"kind": "sql", "payload": {}}, "runs on a worker"),
        ({"kind": "webhook", "payload": {}}, "body.payload.url: Field required"),
        ({**HOOK, "on": ["fire"]}, "body.on"),
        ({**HOOK, "after": 0}, "body.after"),
        ({"on": ["failure"]}, "kind"),
    ):
        assert said in problem(alice.put("/owners/alice/notify", bad), 422)
    assert "key is not among" in problem(alice.put("/owners/alice/notify", keyed), 403)
    ok(api.put("/owners/alice/notify", keyed))
    ok(alice.put("/owners/alice/notify", {**keyed, "after": 3}))
    db.execute('update owner_notify set notify = \'{"kind": "gone"}\'')
    ok(alice.put("/owners/alice/notify", HOOK))


def test_everybody_can_ask_who_he_is(api: Api) -> None:
    """Name, role, what he has and what he may have."""
    granted(api)
    granted(api, "*", "all")
    ok(api.as_(ALICE).post("/jobs", {"name": "a", **HOOK}), 201)
    me = ok(api.as_(ALICE).get("/me"))
    assert (me["name"], me["may_write"], me["is_admin"]) == ("alice", True, False)
    assert me["connections"] == [{"conn_id": "all", "everybody": True}, {"conn_id": "key", "everybody": False}]
    assert me["holdings"]["rows"] == 1
    assert me["quota"]["is_own"] is False
    whole = ok(api.get("/owners/alice"))
    assert {name: me[name] for name in whole if name != "owner"} == {
        name: whole[name] for name in whole if name != "owner"
    }
    assert ok(api.as_(VIEWER).get("/me"))["may_write"] is False
    assert ok(api.as_(ADMIN).get("/me"))["is_admin"] is True
    problem(api.get("/owners/" + "x" * 201), 422)
    problem(api.get("/owners/%00"), 422)
