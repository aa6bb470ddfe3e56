"""The form for jobs: what is filled in becomes the row, what is not touched stays, and what is wrong comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from include import registry
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.html_form import form_of
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

# By kind: what somebody types, and the payload that this means.
EXAMPLES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "email": (
        {
            "to": "a@example.com\r\nB <b@example.com>",
            "subject": "Report",
            "text": "Hello\r\nWorld",
            "headers": "X-A: 1: 2",
        },
        {
            "to": ["a@example.com", "B <b@example.com>"],
            "subject": "Report",
            "text": "Hello\nWorld",
            "headers": {"X-A": "1: 2"},
        },
    ),
    "http": (
        {
            "url": "https://example.com/",
            "method": "PUT",
            "params": 'page: 2\r\nq: a b\r\ncode: "007"',
            "json": '{"a": [1]}',
        },
        {
            "url": "https://example.com/",
            "method": "PUT",
            "params": {"page": 2, "q": "a b", "code": "007"},
            "json": {"a": [1]},
        },
    ),
    "ping": (
        {"url": "https://example.com/", "expect_status": "200, 204"},
        {"url": "https://example.com/", "expect_status": [200, 204]},
    ),
    "python": (
        {"function": "example:greet", "arguments": '{"name": "Ann"}'},
        {"function": "example:greet", "arguments": {"name": "Ann"}},
    ),
    "shell": (
        {"command": "set -e\r\n[ -d /tmp ] && echo {yes}", "environment": "A: 1", "expect_exit_code": "0, 3"},
        {"command": "set -e\n[ -d /tmp ] && echo {yes}", "environment": {"A": "1"}, "expect_exit_code": [0, 3]},
    ),
    "slack": (
        {"conn_id": "chat", "channel": "#ops", "text": "Done", "unfurl_links": "false"},
        {"conn_id": "chat", "channel": "#ops", "text": "Done", "unfurl_links": False},
    ),
    "sql": (
        {
            "conn_id": "db",
            "sql": "select 1;\r\nselect %(a)s",
            "parameters": '{"a": 1}',
            "read_only": "true",
            "rows": "5",
        },
        {"conn_id": "db", "sql": "select 1;\nselect %(a)s", "parameters": {"a": 1}, "read_only": True, "rows": 5},
    ),
    "webhook": (
        {"url": "https://example.com/", "body": '{"n": 1}', "headers": "X-A: 1\r\nX-B: b"},
        {"url": "https://example.com/", "body": {"n": 1}, "headers": {"X-A": "1", "X-B": "b"}},
    ),
}


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def filled(pages: Pages, kind: str, **typed: str) -> dict[str, Any]:
    """The form for a new job of that kind with something typed in; `payload__url` is `payload.url`."""
    form: dict[str, Any] = form_of(pages.get("/jobs/new", kind=kind).text, "job-form")
    return form | {name.replace("__", "."): value for name, value in typed.items()}


def add(pages: Pages, name: str = "a", **settings: Any) -> int:
    body = {"name": name, "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m", **settings}
    return int(ok(pages.api.post("/jobs", body), 201)["id"])


def the_row(db: DictConnection) -> dict[str, Any]:
    [row] = db.execute("select * from job").fetchall()
    return row


def test_there_is_an_example_of_every_kind() -> None:
    """A kind that is new is tried out here as well."""
    assert set(EXAMPLES) == set(registry.action_kinds())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_can_be_created(kind: str, pages: Pages, db: DictConnection) -> None:
    """What is typed into the fields of a kind is the payload of the row, and what is left empty is not in it."""
    typed, meant = EXAMPLES[kind]
    form = filled(pages, kind, name="mine", **{f"payload__{name}": value for name, value in typed.items()})
    response = pages.send("/jobs/new", form)
    assert "mine is created." in response.text, response.text
    row = the_row(db)
    assert (row["name"], row["kind"], row["payload"], row["owner"]) == ("mine", kind, meant, "admin")
    assert row["every"].total_seconds() == 300


def test_more_settings_become_columns(pages: Pages, db: DictConnection) -> None:
    """Durations are written as people do; numbers, choices, JSON and ticks reach the row, and so does a schedule."""
    more = {"retries": "7", "timeout": "1m30s", "no_retry_on": "404, 410", "overlap": "queue", "disable_after": "5"}
    told = '{"kind": "slack", "payload": {"conn_id": "chat", "channel": "#ops"}}'
    form = filled(pages, "ping", name="mine", payload__url="https://example.com/", notify=told, **more)
    form |= {
        "half_open": ["false", "true"],
        "is_active": "false",
        "schedule": "cron",
        "cron": "0 3 * * 1",
        "owner": "alice",
    }
    pages.send("/jobs/new", form)
    row = the_row(db)
    assert (row["retries"], row["timeout"].total_seconds(), row["no_retry_on"]) == (7, 90, [404, 410])
    assert (row["overlap"], row["disable_after"], row["half_open"], row["is_active"]) == ("queue", 5, True, False)
    assert (row["cron"], row["every"], row["owner"]) == ("0 3 * * 1", None, "alice")
    assert row["notify"] == {"kind": "slack", "payload": {"conn_id": "chat", "channel": "#ops"}}


def test_the_form_is_sent_once(pages: Pages, db: DictConnection) -> None:
    """Pressing the button twice makes one job."""
    form = filled(pages, "ping", name="mine", payload__url="https://example.com/")
    for _ in range(2):
        assert pages.send("/jobs/new", form, follow=False).status_code == 303
    assert the_row(db)["name"] == "mine"


def test_what_is_wrong_is_said_beside_its_field(pages: Pages, db: DictConnection) -> None:
    """Every field that cannot be read, or does not fit, says so; what was typed is there, and nothing is stored."""
    unread = pages.send(
        "/jobs/new", filled(pages, "webhook", payload__body='{"a"', payload__headers="X", retries="many")
    )
    assert unread.status_code == 422
    for name in ("payload-body", "payload-headers", "retries"):
        assert f'id="{name}-wrong"' in unread.text
        assert f'href="#{name}"' in unread.text
    assert "{&#34;a&#34;</textarea>" in unread.text
    for name, typed in {"payload.url": "nowhere", "retries": "1000", "timeout": "soon", "cron": "nonsense"}.items():
        form = filled(
            pages, "webhook", name="kept", payload__url="https://example.com/", schedule="cron", cron="@daily"
        )
        misfit = pages.send("/jobs/new", form | {name: typed})
        at = name.replace(".", "-")
        assert misfit.status_code == 422
        assert f'href="#{at}"' in misfit.text
        assert re.search(f'name="{name}"[^>]* aria-invalid="true"', misfit.text)
        assert 'value="kept"' in misfit.text
        assert f'value="{typed}"' in misfit.text
    assert db.execute("select id from job").fetchall() == []


def test_what_the_schedule_and_the_kind_do_not_allow_is_beside_its_field(pages: Pages) -> None:
    """What only the whole row shows to be wrong has a field, too; so has what is wrong within a notify."""
    on_worker = filled(pages, "python", name="a", payload__function="example:greet")
    for form, at, said in (
        (on_worker | {"every": "5", "every_unit": "seconds"}, "every", "a slower schedule"),
        (on_worker | {"every_mode": "fixed_delay"}, "every_mode", "no fixed delays"),
        (on_worker | {"jitter": "6m"}, "jitter", "5 min apart"),
        (on_worker | {"notify": '{"kind": "shell"}'}, "notify", "runs on a worker"),
        (on_worker | {"notify": '{"kind": "slack", "payload": {"nonsense": 1}}'}, "notify", "nonsense"),
    ):
        page = pages.send("/jobs/new", form)
        assert page.status_code == 422
        assert re.search(f'<a href="#{at}">[^<]*{said}', page.text), at
        assert re.search(f'id="{at}"[^>]*aria-invalid="true"', page.text), at


def test_a_fault_within_a_value_and_of_the_whole_is_said(pages: Pages) -> None:
    """What is wrong within a list is beside it; what concerns no field, as a name that is taken, is at the top."""
    form = filled(pages, "ping", name="mine", payload__url="https://example.com/", payload__expect_status="200, 9999")
    assert 'id="payload-expect_status-wrong"' in pages.send("/jobs/new", form).text
    nothing = pages.send("/jobs/new", filled(pages, "slack", name="mine"))
    assert nothing.status_code == 422
    assert "It is not saved yet" in nothing.text
    add(pages, "taken")
    taken = pages.send("/jobs/new", filled(pages, "ping", name="taken", payload__url="https://example.com/"))
    assert taken.status_code == 409
    assert "taken" in taken.text.partition("It is not saved yet")[2]
    assert 'value="https://example.com/"' in taken.text


def test_another_kind_shows_its_fields_and_keeps_the_rest(pages: Pages, db: DictConnection) -> None:
    """Choosing a kind saves nothing; saving with a kind whose settings nobody has seen shows them first."""
    form = filled(pages, "ping", name="mine", payload__url="https://example.com/x", retries="7") | {"kind": "webhook"}
    shown = pages.send("/jobs/new", {**form, "do": "show"})
    assert shown.status_code == 200
    again = form_of(shown.text, "job-form")
    assert (again["shown_kind"], again["payload.url"], again["retries"]) == (
        ["webhook"],
        ["https://example.com/x"],
        ["7"],
    )
    assert "payload.body" in again
    assert "payload.expect_body" not in again
    unseen = pages.send("/jobs/new", form)
    assert unseen.status_code == 422
    assert "look at them first" in unseen.text
    assert db.execute("select id from job").fetchall() == []
    assert "mine is created." in pages.send("/jobs/new", again).text


def test_without_a_kind_the_kinds_are_explained(pages: Pages) -> None:
    """An empty form tells what there is to choose; it is not saved without a choice, nor with an unknown one."""
    page = pages.get("/jobs/new").text
    for kind in registry.action_kinds():
        assert f"<dt>{kind}</dt>" in page
    assert "<dt>shell</dt>" not in pages.as_(ALICE).get("/jobs/new").text
    assert 'id="kind-wrong"' in pages.send("/jobs/new", {"name": "a"}).text
    assert pages.get("/jobs/new", kind="nonsense").status_code == 200
    assert (
        pages.send("/jobs/new", {"name": "a", "kind": "x", "shown_kind": "x", "schedule": "by_hand"}).status_code == 422
    )


def test_a_job_can_be_the_beginning_of_another(pages: Pages, db: DictConnection) -> None:
    """A duplicate has all settings but the name, and the names that are the row's own."""
    first = add(pages, "first", retries=9, external_id="mine", run_at=None, cron="0 3 * * *", every=None)
    form = form_of(pages.get("/jobs/new", like=first).text, "job-form")
    assert form["external_id"] == [""]
    pages.send("/jobs/new", form)
    rows = db.execute("select name, retries, cron, external_id from job order by id").fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("first", 9, "0 3 * * *", "mine"),
        ("Copy of first", 9, "0 3 * * *", None),
    ]
    assert pages.as_(BOB).get("/jobs/new", like=first).status_code == 404


def test_who_may_not_write_gets_no_form(pages: Pages, db: DictConnection) -> None:
    """Viewers are refused; others' jobs are not there; only admins see whose it is."""
    job_id = add(pages.as_(ALICE))
    assert pages.as_(VIEWER).get("/jobs/new").status_code == 403
    assert pages.as_(VIEWER).send("/jobs/new", {"name": "a"}).status_code == 403
    for path in (f"/jobs/{job_id}/edit", "/jobs/99999999999999999999/edit"):
        assert pages.as_(BOB).get(path).status_code in (404, 422)
        assert pages.as_(BOB).send(path, {"name": "a"}).status_code in (404, 422)
    assert pages.as_(BOB).send("/jobs/trial", {"job_id": str(job_id), "kind": "ping"}).status_code == 404
    assert 'name="owner"' not in pages.as_(ALICE).get(f"/jobs/{job_id}/edit").text
    assert 'name="owner"' in pages.get(f"/jobs/{job_id}/edit").text
    assert the_row(db)["name"] == "a"


def test_what_people_wrote_is_text(pages: Pages) -> None:
    """Names and values are escaped wherever the form shows them, also when they come back with an error."""
    evil = '"></textarea><script>alert(1)</script>'
    job_id = add(pages, evil, payload={"url": "https://example.com/", "expect_body": evil})
    shown = pages.get(f"/jobs/{job_id}/edit").text
    form = dict.fromkeys(form_of(shown, "job-form"), evil) | {"kind": evil, "shown_kind": evil}
    for page in (shown, pages.send(f"/jobs/{job_id}/edit", form).text, pages.send("/jobs/new", form).text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
