"""The pages of timers: what waits, what became of the others, and how one is set and cancelled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from include.store.db import DictConnection
from include.ui.schema_form import in_words
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.timer_rows import timer as row_of
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/hook"
FORM = {"when": "in", "hours": "1", "minutes": "", "seconds": "30", "url": URL, "method": "POST"}


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, **settings: Any) -> int:
    return int(ok(pages.api.post("/timers", {"url": URL, "hours": 4, **settings}), 201)["id"])


def end(db: DictConnection, timer_id: int, status: str, **columns: Any) -> None:
    """As a pump, or somebody who cancels, leaves it."""
    attempt = {"attempt": 1, "at": "2026-11-21T09:00:00+00:00", "ms": 12.0, "code": 500, "error": "HTTP 500"}
    values = {"attempts": json.dumps([attempt]), "attempt": 1, "error": None, **columns}
    db.execute(
        "update timer set status = %(status)s, fired_at = due_at, finished_at = now(), attempts = %(attempts)s,"
        " attempt = %(attempt)s, error = %(error)s where id = %(id)s",
        {"id": timer_id, "status": status, **values},
    )


def test_without_timers_the_page_says_what_they_are(pages: Pages) -> None:
    """There is an explanation, and a button for those who may write; filters that fit none say so."""
    for query in ({}, {"status": "all"}):
        page = pages.get("/timers", **query).text
        assert "calls a URL once" in page
        assert "/timers/new" in page
    assert 'href="/ui/timers/new"' not in pages.as_(VIEWER).get("/timers").text
    assert "Nothing matches" in pages.get("/timers", external_id="x").text
    assert "Nothing matches" in pages.get("/timers", status="failed").text


def test_the_next_one_comes_first_with_a_countdown(pages: Pages) -> None:
    """Pending timers are in the order in which they are due, and each counts down."""
    add(pages, external_id="later", hours=9)
    add(pages, external_id="<sooner>", hours=1)
    page = pages.get("/timers").text
    assert page.index("&lt;sooner&gt;") < page.index("later")
    assert page.count("data-relative") == 2
    assert "hx-trigger" in page


def test_timers_are_filtered_by_status_and_name(pages: Pages, db: DictConnection) -> None:
    """Each status has its own, `all` has all, and a name of one's own finds that one."""
    waiting, failed, cancelled = (add(pages, external_id=name) for name in ("one", "two", "three"))
    end(db, failed, "failed", error="HTTP 500: no")
    ok(pages.api.post(f"/timers/{cancelled}/cancel"))
    for status, names in (
        ("pending", ["one"]),
        ("failed", ["two", "HTTP 500: no"]),
        ("cancelled", ["three"]),
        ("all", ["one", "two", "three", "HTTP 500: no"]),
    ):
        page = pages.get("/timers", status=status).text
        assert [name for name in ("one", "two", "three", "HTTP 500: no") if f">{name}<" in page] == names
    assert f"/timers/{waiting}" not in pages.get("/timers", status="all", external_id="two").text
    assert pages.get("/timers", status="nonsense").status_code == 422


def test_pages_lead_on_to_the_next(pages: Pages) -> None:
    """Fifty are on a page; the link to the next keeps the status, also if that is all."""
    pages.api.post("/timers/bulk", {"timers": [{"url": URL, "seconds": 100 + n} for n in range(51)]})
    first = pages.get("/timers", status="all").text
    link = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "status=all" in link
    second = pages.get(link.removeprefix("/ui")).text
    assert second.count('scope="row"') == 1


def test_a_timer_is_set_by_the_form(pages: Pages, db: DictConnection) -> None:
    """What is filled in is in the row; a form that is sent twice sets one timer."""
    assert "New timer" in pages.as_(ALICE).get("/timers/new").text
    form = {**FORM, "key": "once", "headers": "x-a: b", "body": '{"order": 17}', "timeout": "5s", "external_id": "mine"}
    page = pages.as_(ALICE).send("/timers/new", form).text
    assert "is set." in page
    assert pages.as_(ALICE).send("/timers/new", form).status_code == 200
    [row] = db.execute("select * from timer").fetchall()
    assert (row["owner"], row["url"], row["method"], row["headers"]) == ("alice", URL, "POST", {"x-a": "b"})
    assert (row["body"], row["timeout"], row["hours"], row["seconds"]) == ({"order": 17}, timedelta(seconds=5), 1, 30)


def test_an_instant_is_on_the_clock_of_its_zone(pages: Pages, db: DictConnection) -> None:
    """What is typed is wall time there, and is stored as the instant."""
    form = {"when": "at", "due_at": "2099-07-01T09:00", "timezone": "Europe/Berlin", "url": URL}
    assert "is set." in pages.send("/timers/new", form).text
    [row] = db.execute("select due_at at time zone 'UTC' as due_at from timer").fetchall()
    assert str(row["due_at"]) == "2099-07-01 07:00:00"


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"url": ""}, "url", "Field required"),
        ({"url": "ftp://example.com"}, "url", "http"),
        ({"hours": "soon"}, "hours", "write a whole number"),
        ({"hours": "", "seconds": "0"}, "hours", "write how long from now"),
        ({"hours": "9999999999"}, "hours", "less than or equal"),
        ({"body": "{no"}, "body", "no JSON"),
        ({"body": '"\\u0000"'}, "body", "NUL"),
        ({"headers": "none"}, "headers", "Name: value"),
        ({"when": "at", "due_at": "2001-01-01T00:00"}, "due_at", "not in the future"),
        ({"when": "at", "due_at": ""}, "due_at", "write a date and a time"),
        ({"when": "at", "due_at": "2099-01-01T00:00", "timezone": "Mars"}, "timezone", "unknown time zone"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    pages: Pages, db: DictConnection, change: dict[str, str], place: str, said: str
) -> None:
    """The form comes back as it was filled in, with what is wrong; nothing is stored."""
    response = pages.send("/timers/new", {**FORM, "external_id": "keep me", **change})
    assert response.status_code == 422
    assert f'<a href="#{place}">{"At" if place == "due_at" else in_words(place)}: ' in response.text
    field = response.text.partition(f'name="{place}"')[2].partition('class="field"')[0]
    assert said in field
    assert "keep me" in response.text
    assert db.execute("select id from timer").fetchall() == []


def test_a_name_that_is_taken_is_said_in_the_form(pages: Pages) -> None:
    """An external_id with other settings is a conflict, and the form is not lost."""
    add(pages, external_id="mine")
    response = pages.send("/timers/new", {**FORM, "external_id": "mine"})
    assert response.status_code == 409
    assert "already, with other settings" in response.text
    assert 'value="mine"' in response.text


def test_one_timer_shows_its_settings_and_attempts(pages: Pages, db: DictConnection) -> None:
    """What is sent, what came back, why it failed; and a form for another one like it."""
    timer_id = add(pages, headers={"x-a": "<b>"}, body={"order": 17}, external_id="mine", retries=1)
    end(db, timer_id, "failed", error="HTTP 500: <oh no>")
    page = pages.get(f"/timers/{timer_id}").text
    for part in (
        "Timer mine",
        "HTTP 500: &lt;oh no&gt;",
        "&lt;b&gt;",
        "Attempt 1",
        "New one like it",
    ):
        assert part in page
    assert "Cancel timer" not in page
    again = pages.get("/timers/new", like=timer_id).text
    assert f'value="{URL}"' in again
    assert "&#34;order&#34;: 17" in again
    assert 'value="mine"' not in again


def test_what_plain_sql_has_put_into_attempts_is_shown(pages: Pages, db: DictConnection) -> None:
    """No attempt that a row may hold breaks the page."""
    timer_id = add(pages)
    end(db, timer_id, "fired", attempts=json.dumps([17, {"at": "never", "ms": "x"}, None]))
    assert pages.get(f"/timers/{timer_id}").status_code == 200


def test_a_timer_is_cancelled_after_a_question(pages: Pages, db: DictConnection) -> None:
    """The button asks first, says what it has done, and is gone; what has been sent cannot be cancelled."""
    timer_id = add(pages)
    assert f'data-confirm="Cancel timer {timer_id}?' in pages.get("/timers").text
    assert "is cancelled." in pages.send(f"/timers/{timer_id}/cancel").text
    assert row_of(db, timer_id)["status"] == "cancelled"
    assert "Cancel timer" not in pages.get(f"/timers/{timer_id}").text
    sent = add(pages)
    end(db, sent, "fired")
    late = pages.send(f"/timers/{sent}/cancel")
    assert late.status_code == 409
    assert "too late" in late.text


def test_a_failed_timer_is_redriven_or_given_up(pages: Pages, db: DictConnection) -> None:
    """Both are said; one that was given up can still be redriven, and one that has not failed cannot."""
    timer_id = add(pages)
    assert pages.send(f"/timers/{timer_id}/redrive").status_code == 404
    end(db, timer_id, "failed", error="HTTP 500")
    assert "Redrive" in pages.get("/timers", status="failed").text
    assert "Discard" in pages.get(f"/timers/{timer_id}").text
    here = f"http://millrace.test/ui/timers/{timer_id}"
    given_up = pages.send(f"/timers/{timer_id}/discard", Referer=here).text
    assert "is given up." in given_up
    assert "Somebody gave up on it." in given_up
    assert ">Discard<" not in given_up
    assert "is sent again." in pages.send(f"/timers/{timer_id}/redrive", Referer=here).text
    assert row_of(db, timer_id)["status"] == "pending"


def test_everybody_sees_his_own_timers(pages: Pages, db: DictConnection) -> None:
    """Others' timers are not listed, and cannot be seen, copied or cancelled: they are not there."""
    timer_id = add(pages.as_(ALICE), external_id="of alice")
    assert "of alice" not in pages.as_(BOB).get("/timers").text
    assert pages.as_(BOB).get(f"/timers/{timer_id}").status_code == 404
    assert pages.as_(BOB).get("/timers/new", like=timer_id).status_code == 404
    assert pages.as_(BOB).send(f"/timers/{timer_id}/cancel").status_code == 404
    assert row_of(db, timer_id)["status"] == "pending"
    end(db, timer_id, "failed")
    for decision in ("redrive", "discard"):
        assert pages.as_(BOB).send(f"/timers/{timer_id}/{decision}").status_code == 404
    assert row_of(db, timer_id)["status"] == "failed"
    assert pages.get("/timers/99999999999999999999").status_code in (404, 422)


def test_who_only_looks_sets_nothing(pages: Pages, db: DictConnection) -> None:
    """A viewer has neither the form nor a timer of his own."""
    assert pages.as_(VIEWER).get("/timers/new").status_code == 403
    assert pages.as_(VIEWER).send("/timers/new", FORM).status_code == 403
    assert db.execute("select id from timer").fetchall() == []


def test_buttons_of_a_viewer_say_why_they_do_nothing(pages: Pages, db: DictConnection) -> None:
    """They are there and cannot be pressed; the one tip that they have says why."""
    timer_id = add(pages, owner="viewer")
    end(db, timer_id, "failed")
    page = pages.as_(VIEWER).get(f"/timers/{timer_id}").text
    assert [tag.count(" title=") for tag in re.findall("<button[^>]* disabled[^>]*>", page)] == [1, 1]
