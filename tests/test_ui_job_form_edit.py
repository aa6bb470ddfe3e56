"""Editing a job in the dashboard: a form that nobody has touched changes nothing, and nobody's change is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, ok
from tests.html_form import form_of
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
PING = {"kind": "ping", "payload": {"url": URL}}
# Payloads that are written in unusual ways, and yet are as their owner wants them.
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("http", {"url": URL, "method": "put", "json": None, "headers": {}, "text": None}),
    ("http", {"url": URL, "method": "GET", "params": {"a": 1.5, "b": "true", "c": True, "d": ""}}),
    ("http", {"url": URL, "method": "POST", "json": {"z": 1, "a": [1.0, None, "é", "\u2028", {"k": "\n"}]}}),
    ("http", {"url": URL, "method": "POST", "text": "\n  leading\r\nand trailing \t\n"}),
    ("webhook", {"url": URL, "body": '{"text": "that looks like JSON"}'}),
    ("webhook", {"url": URL, "body": '"quoted"'}),
    ("webhook", {"url": URL, "body": [], "headers": {"X-Empty": "", "X-A": "a: b"}}),
    ("webhook", {"url": URL, "body": "</textarea><script>"}),
    ("ping", {"url": URL, "expect_status": [200], "expect_body": "two\nlines"}),
    ("ping", {"url": URL, "expect_status": 204}),
    ("python", {"function": "example:greet", "arguments": {}, "conn_id": None}),
    ("shell", {"command": ["echo", "two\nlines", ""], "expect_exit_code": 3, "no_retry_on": [1]}),
    ("shell", {"command": '["echo"]', "environment": {"LINES": "a\nb", "A": " x "}}),
    ("sql", {"conn_id": "db", "sql": ["select 1", "select 2"], "parameters": None, "read_only": False}),
    ("sql", {"conn_id": "db", "sql": "select %s", "parameters": [1, "2", None], "rows": 0, "read_only": True}),
    ("email", {"to": ["a@example.com"], "cc": [], "bcc": "b@example.com", "subject": "s", "text": "t"}),
    ("email", {"to": "a@example.com", "subject": "s", "html": "<b>é</b>", "attachments": [{"url": URL}]}),
    ("slack", {"conn_id": "chat", "channel": "#a", "blocks": [{"type": "divider"}], "unfurl_media": None}),
]
SCHEDULES: list[dict[str, Any]] = [
    {},
    {"every": 1},
    {"every": 90.25},
    {"every": "36h"},
    {"every": 0.1 + 59.9},
    {"every": "5m", "every_mode": "fixed_delay", "jitter": 0.5},
    {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
    {"cron": "30 9 * * 1-5"},
    {"cron": "0 9 * * 6,0", "starts_at": "2031-03-30T00:30:00Z"},
    {"cron": "*/5 0 3 * * *", "ends_at": "2031-10-26T00:30:00.123456Z", "timezone": "Europe/Berlin"},
    {"cron": "@daily"},
    {"run_at": "2031-10-26T00:30:00Z", "timezone": "Europe/Berlin"},
    {"run_at": "2031-10-26T01:30:00.000001Z", "timezone": "Europe/Berlin"},
]
OTHERS: list[dict[str, Any]] = [
    {
        "timeout": 0.001,
        "retry_delay": 0.123456,
        "retry_max_delay": 86399.999999,
        "max_lateness": "3650d",
        "probe_every": "1d",
    },
    {"retries": 0, "retry_backoff": 1, "retry_jitter": 0, "no_retry_on": [404, 410], "delivery": "at_most_once"},
    {
        "overlap": "allow",
        "misfire": "all",
        "disable_after": 1,
        "half_open": True,
        "external_id": " mine ",
        "owner": "ann",
    },
    {
        "notify": {"kind": "slack", "payload": {"conn_id": "chat", "channel": "#a", "text": "{{ error }}"}},
        "is_active": False,
    },
    {"notify": {"on": []}, "paused_until": "2031-10-26T00:30:00.5Z"},
]


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, **settings: Any) -> int:
    return int(ok(pages.api.post("/jobs", {"name": "a", **PING, **settings}), 201)["id"])


def the_row(db: DictConnection) -> str:
    """The row as text, byte for byte."""
    [row] = db.execute("select job::text as row from job").fetchall()
    return str(row["row"])


@pytest.mark.parametrize(
    "settings",
    [*({"kind": kind, "payload": payload} for kind, payload in PAYLOADS), *SCHEDULES, *OTHERS],
    ids=lambda settings: json.dumps(settings)[:60],
)
def test_saving_what_nobody_touched_changes_nothing(settings: dict[str, Any], pages: Pages, db: DictConnection) -> None:
    """Whatever a row holds, showing it in the form and saving the form leaves it as it is, its revision included."""
    job_id = add(pages, **settings)
    before = the_row(db)
    saved = pages.send(f"/jobs/{job_id}/edit", form_of(pages.get(f"/jobs/{job_id}/edit").text, "job-form"))
    assert "a is saved." in saved.text
    assert the_row(db) == before


def test_an_edit_changes_what_was_edited(pages: Pages, db: DictConnection) -> None:
    """One field of the payload is another, one is taken out; pausing by a button meanwhile stays."""
    payload = {"url": URL, "expect_body": "x", "expect_status": 204}
    job_id = add(pages.as_(ALICE), payload=payload, every="5m", owner="alice", external_id="mine")
    form = form_of(pages.as_(ALICE).get(f"/jobs/{job_id}/edit").text, "job-form")
    ok(pages.api.post(f"/jobs/{job_id}/pause"))
    form |= {"payload.url": ["https://example.com/new"], "payload.expect_body": [""], "timeout": ["1m"]}
    form["revision"] = [str(ok(pages.api.get(f"/jobs/{job_id}"))["revision"])]
    assert "a is saved." in pages.as_(ALICE).send(f"/jobs/{job_id}/edit", form).text
    [row] = db.execute("select payload, timeout, is_active, owner, external_id from job").fetchall()
    assert row["payload"] == {"url": "https://example.com/new", "expect_status": 204}
    assert (row["timeout"].total_seconds(), row["is_active"]) == (60, False)
    assert (row["owner"], row["external_id"]) == ("alice", "mine")


def test_nobodys_change_is_lost(pages: Pages, db: DictConnection) -> None:
    """Who saves a form that is out of date is told what differs, keeps what he typed, and can save once more."""
    job_id = add(pages, every="5m")
    form = form_of(pages.get(f"/jobs/{job_id}/edit").text, "job-form") | {"retries": ["9"]}
    ok(pages.api.patch(f"/jobs/{job_id}", {"timeout": "7s", "name": "theirs"}))
    late = pages.send(f"/jobs/{job_id}/edit", form)
    assert late.status_code == 412
    assert "Somebody has changed this job meanwhile" in late.text
    differing = late.text.partition("<tbody>")[2].partition("</tbody>")[0]
    for part in (">Name<", ">theirs<", ">Timeout<", ">7.0<", ">Retries<", ">9<"):
        assert part in differing
    assert "Payload" not in differing
    assert db.execute("select name, retries from job").fetchall() == [{"name": "theirs", "retries": 3}]
    again = form_of(late.text, "job-form")
    assert again["retries"] == ["9"]
    assert "a is saved." in pages.send(f"/jobs/{job_id}/edit", again).text
    assert db.execute("select name, retries from job").fetchall() == [{"name": "a", "retries": 9}]


def test_another_kind_is_chosen(pages: Pages, db: DictConnection) -> None:
    """The settings that both kinds have are kept, those of the old kind are gone."""
    job_id = add(pages, payload={"url": URL, "expect_body": "x"}, every="5m")
    form = form_of(pages.get(f"/jobs/{job_id}/edit").text, "job-form") | {"kind": ["webhook"], "do": ["show"]}
    again = form_of(pages.send(f"/jobs/{job_id}/edit", form).text, "job-form")
    assert "a is saved." in pages.send(f"/jobs/{job_id}/edit", again).text
    assert db.execute("select kind, payload from job").fetchall() == [{"kind": "webhook", "payload": {"url": URL}}]


def test_a_row_that_cannot_run_can_be_mended(pages: Pages, db: DictConnection) -> None:
    """Settings and kinds that there are not, as plain SQL may have written them, are shown, and said to be wrong."""
    db.execute("insert into job (name, owner, kind, payload) values ('a', 'admin', 'pong', '{\"url\": [1], \"b\": 2}')")
    [job] = db.execute("select id from job").fetchall()
    page = pages.get(f"/jobs/{job['id']}/edit")
    assert page.status_code == 200
    assert "There is no such kind" in page.text
    form = form_of(page.text, "job-form")
    assert json.loads(form["payload._"][0]) == {"url": [1], "b": 2}
    assert pages.send(f"/jobs/{job['id']}/edit", {**form, "name": "b"}).status_code == 422
    db.execute("update job set kind = 'ping'")
    form = form_of(pages.get(f"/jobs/{job['id']}/edit").text, "job-form")
    assert (form["payload.url"], form["payload._"]) == (["[\r\n  1\r\n]"], ['{\r\n  "b": 2\r\n}'])
    wrong = pages.send(f"/jobs/{job['id']}/edit", {**form, "name": "b"})
    assert 'id="payload-_-wrong"' in wrong.text
    form |= {"payload.url": [URL], "payload._": [""]}
    assert "a is saved." in pages.send(f"/jobs/{job['id']}/edit", form).text
    assert db.execute("select payload from job").fetchall() == [{"payload": {"url": URL}}]


def test_a_job_that_is_deleted_meanwhile_is_not_there(pages: Pages) -> None:
    """Neither its form nor what was typed into it finds a job."""
    job_id = add(pages)
    form = form_of(pages.get(f"/jobs/{job_id}/edit").text, "job-form")
    ok(pages.api.delete(f"/jobs/{job_id}"), 204)
    assert pages.send(f"/jobs/{job_id}/edit", form).status_code == 404
    assert pages.as_(BOB).get(f"/jobs/{job_id}/edit").status_code == 404
