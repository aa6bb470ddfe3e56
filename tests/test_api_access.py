"""Every route × role × owner: a table says who may, each line of it is tried, and a route without a line fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from itertools import count
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx2 import Response

from include.api.app import create_app
from include.documents.caller import Caller
from include.documents.execution import microseconds
from include.settings import Settings
from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.access_table import TABLE, Rule
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, stated_login
from tests.job_commands import add_execution
from tests.log_rows import add_connector, add_workflow, append
from tests.test_store import add_job

pytestmark = pytest.mark.xdist_group("api")

DUE = datetime(2026, 11, 1, tzinfo=timezone.utc)
NOWHERE = 987_654_321
_numbers = count()
Rows = Mapping[str, Any]


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    app = create_app(Settings(database_url=database_url), login=stated_login)
    with TestClient(app, base_url="http://millrace.test") as client:
        yield client


def rows_of(db: DictConnection, owner: str) -> Rows:
    """A row of everything for the owner, by the names that stand for them in the table."""
    name = f"row {next(_numbers)} of {owner}"
    job = add_job(db, name, owner=owner, cron="0 0 * * *")
    add_execution(db, job, DUE, "failed", code=503)
    rest = {"base_url": "http://127.0.0.1:9", "path": "/a"}
    connector = add_connector(db, name, owner=owner, kind="rest", config=rest, every="1 hour")
    append(db, connector, [{"n": 1}])
    workflow = add_workflow(db, connector, "https://example.com/", name, owner=owner)
    db.execute("update workflow_progress set stopped_at = 1, error = 'e' where workflow_id = %s", (workflow,))
    db.execute("insert into owner_notify (owner, notify) values (%s, '{\"on\": []}') on conflict do nothing", (owner,))
    made = db.execute(
        "insert into timer (owner, url, due_at) values (%s, 'https://example.com/', '2100-01-01') returning id",
        (owner,),
    ).fetchone()
    audit = db.execute("select id from audit where table_name = 'job' and row_id = %s", (job,)).fetchone()
    trial = db.execute(
        "insert into trial (owner, kind, payload, timeout) values (%s, 'python', '{}', '30 seconds') returning id",
        (owner,),
    ).fetchone()
    assert made is not None
    assert trial is not None
    assert audit is not None
    return {
        **COMMON,
        "job_id": job,
        "due": microseconds(DUE),
        "letter_id": webhook_id(job, DUE),
        "connector_id": connector,
        "connector": name,
        "another": f"another {name}",
        "position": 1,
        "workflow_id": workflow,
        "timer_id": made["id"],
        "trial_id": trial["id"],
        "audit_id": audit["id"],
        "owner": owner,
    }


COMMON = {"source": "job", "kind": "rest", "name": "a budget", "address:path": "x", "grant_id": NOWHERE}
# What has no row at all, in the place of somebody's.
MISSING = {
    **COMMON,
    **dict.fromkeys(("job_id", "connector_id", "workflow_id", "timer_id", "trial_id", "audit_id"), NOWHERE),
    "due": microseconds(DUE),
    "letter_id": webhook_id(NOWHERE, DUE),
    "connector": "no such connector",
    "another": "another of nobody",
    "position": 1,
    "owner": "nobody at all",
}


def send(client: TestClient, caller: Caller | None, route: str, rows: Rows) -> Response:
    """The request of a route's line, about these rows."""
    method, path = route.split(" ")
    rule = TABLE[route]
    if path.endswith("/actions/{kind}"):
        rows = {**rows, "kind": "ping"}
    headers = {} if caller is None else {"X-Caller": caller.name}
    content: dict[str, Any] = {} if rule.body is None else {"json": filled(rule.body, rows)}
    if rule.form is not None:
        content = {"data": rule.form}
    return client.request(method, filled(path + rule.query, rows), headers=headers, **content)


def filled(part: Any, rows: Rows) -> Any:
    if isinstance(part, str):
        alone = part[1:-1] if part.startswith("{") else ""
        if alone in rows:
            return rows[alone]
        for name, value in rows.items():
            part = part.replace(f"{{{name}}}", str(value))
        return part
    if isinstance(part, dict):
        return {name: filled(value, rows) for name, value in part.items()}
    return [filled(value, rows) for value in part] if isinstance(part, list) else part


def names_rows(route: str) -> bool:
    """Whether the request is about rows of somebody."""
    rule = TABLE[route]
    text = route + rule.query + json.dumps(rule.body)
    return any(f"{{{name}}}" in text for name in MISSING if name not in (*COMMON, "another"))


def said(response: Response, rows: Rows) -> tuple[int, str]:
    """The answer, without what it says of which row was asked for."""
    text = response.text
    for name in sorted(rows, key=lambda name: -len(str(rows[name]))):
        if name not in COMMON and name not in ("due", "position"):
            text = text.replace(str(rows[name]), f"<{name}>")
    return response.status_code, text.replace("<letter_id>", "<row>").replace("<job_id>", "<row>")


def contents(db: DictConnection) -> dict[str, Any]:
    """All that a request could change."""
    tables = ("job", "connector", "workflow", "workflow_progress", "timer", "execution", "dead_letter", "record")
    access = ("connection_grant", "quota", "owner_notify", "budget", "audit")
    return {table: db.execute(f"select * from {table} order by 1, 2".encode()).fetchall() for table in tables + access}


def lines(*access: str) -> dict[str, Rule]:
    return {route: rule for route, rule in TABLE.items() if rule.access in access}


def test_every_route_has_its_line() -> None:
    """A new route is classified before it is used, and a line without a route goes."""
    found = {
        f"{method} {route.path}"
        for route in create_app().routes
        if isinstance(route, APIRoute)
        for method in route.methods - {"HEAD"}
    }
    assert found == TABLE.keys()
    assert [type(route).__name__ for route in create_app().routes if not isinstance(route, APIRoute)] == []


def test_nobody_is_let_in_without_a_login(client: TestClient, db: DictConnection) -> None:
    """401 everywhere, but for what proves itself otherwise, or is nobody's secret; whatever is sent."""
    rows = rows_of(db, "alice")
    answers = {route: send(client, None, route, rows) for route in TABLE}
    let_in = {route for route, answer in answers.items() if answer.status_code != 401 or "log in" not in answer.text}
    assert let_in == set(lines("open"))


def test_viewers_read_what_is_theirs_and_write_nothing(client: TestClient, db: DictConnection) -> None:
    """Their rows are shown to them; every change, of rows of their own too, is a 403 and leaves all as it was."""
    rows = rows_of(db, "viewer")
    before = contents(db)
    answers = {route: send(client, VIEWER, route, rows).status_code for route in TABLE}
    assert {route: answers[route] for route in lines("look")} == dict.fromkeys(lines("look"), 200)
    refused = lines("write", "admin")
    assert {route: answers[route] for route in refused} == dict.fromkeys(refused, 403)
    assert contents(db) == before


@pytest.mark.parametrize("caller", [BOB, VIEWER], ids=["user", "viewer"])
def test_a_row_of_anothers_is_answered_as_one_that_is_not_there(
    client: TestClient, db: DictConnection, caller: Caller
) -> None:
    """Status and words are the same, so that nobody can tell that the row exists; and nothing happens to it."""
    rows = rows_of(db, "alice")
    before = contents(db)
    about = [route for route in lines("look", "write") if names_rows(route)]
    theirs = {route: said(send(client, caller, route, rows), rows) for route in about}
    missing = {route: said(send(client, caller, route, MISSING), MISSING) for route in about}
    assert theirs == missing
    assert not {route for route, (status, _) in theirs.items() if status not in (403, 404, 422)}
    assert contents(db) == before


def test_users_use_their_own_rows(client: TestClient, db: DictConnection) -> None:
    """What a table of refusals would not show: each of these requests is good if the row is one's own."""
    wrong = {}
    for route, rule in lines("look", "write").items():
        if not rule.starts_run:
            status = send(client, ALICE, route, rows_of(db, "alice")).status_code
            if status not in ((200, 201, 204) if rule.answer is None else (rule.answer,)):
                wrong[route] = status
    assert wrong == {}


def test_what_is_for_admins_is_for_nobody_else(client: TestClient, db: DictConnection) -> None:
    """Users are refused there, whether or not what they name exists; admins are not."""
    rows = rows_of(db, "alice")
    admins = lines("admin")
    for caller in (ALICE, VIEWER):
        assert {route: send(client, caller, route, rows).status_code for route in admins} == dict.fromkeys(admins, 403)
    answers = {route: send(client, ADMIN, route, rows).status_code for route in admins}
    assert not {route: status for route, status in answers.items() if status in (401, 403) or status >= 500}


def test_admins_see_and_change_everything(client: TestClient, db: DictConnection) -> None:
    """Every row of everybody's is theirs to read; a change of another's row is made, and audited as theirs."""
    rows = rows_of(db, "alice")
    reading = {route for route in lines("look") if names_rows(route)}
    assert {route: send(client, ADMIN, route, rows).status_code for route in reading} == dict.fromkeys(reading, 200)
    assert send(client, ADMIN, "PATCH /api/v1/jobs/{job_id}", rows).status_code == 200
    newest = db.execute("select actor, new ->> 'owner' as owner from audit order by id desc limit 1").fetchone()
    assert newest == {"actor": "admin", "owner": "alice"}


def test_lists_show_what_is_ones_own(client: TestClient, db: DictConnection) -> None:
    """No list, and no total, has anything of another's in it; asked for that one's, a list is empty, not one's own."""
    rows_of(db, "alice")
    rows_of(db, "bob")
    lists = [route for route in lines("look") if route.startswith("GET ") and not names_rows(route)]
    for route in (route for route in lists if "/kinds" not in route):
        path = route.removeprefix("GET ")
        for query in ("", "?owner=alice"):
            response = client.get(path + query, headers={"X-Caller": "bob"})
            assert "alice" not in response.text, route
            if path + query != path and "items" in (page := response.json()):
                assert (page["items"], page.get("total") or 0) == ([], 0), route
