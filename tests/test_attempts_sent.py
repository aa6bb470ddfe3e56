"""What each attempt has sent is in the ledger: by which revision, where to, and never a secret."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from include.model import Connection
from include.settings import settings as our_settings
from include.shifts.bell import utcnow
from include.shifts.blot import blot_of
from include.shifts.noted import LONGEST, Noted
from include.shifts.post import Post
from include.shifts.trial import doing_of, try_here
from include.store.db import DictConnection
from tests.fake_http import Server, redirect, serving
from tests.log_rows import add_connector, add_workflow, append
from tests.shift_stage import answering, executions, never, opened_post, stage, stand, until
from tests.sql_database import by_psycopg
from tests.test_shift_workflow import process
from tests.test_store import add_job, one
from tests.timer_rows import add_timer, has_status, pumping, timer
from tests.way_out import closed_port

SECRET = "hunter2-9f8e7d6c"
TOKEN = "xoxb-" + SECRET
KEY = "whsec_" + b64encode(b"a key of 24 bytes, right").decode()
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def as_operators_set_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`shell` is allowed, and code of users is among the tests."""
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    monkeypatch.setenv("MILLRACE_USER_CODE", "tests")
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://127.0.0.1/nothing")
    our_settings.cache_clear()
    yield
    our_settings.cache_clear()


def add(db: DictConnection, kind: str, payload: dict[str, Any], **columns: Any) -> int:
    return add_job(db, kind=kind, payload=Jsonb(payload), **columns)


async def run(post: Post, job_id: int, **more: Any) -> None:
    await stand(post, job_id, utcnow(), by_hand=True, **more)


def requests(db: DictConnection) -> list[Any]:
    """What the attempts at everything in the ledger have sent."""
    return [attempt.get("request") for row in executions(db) for attempt in row["attempts"]]


async def test_an_edit_between_two_attempts_is_told(database_url: str, db: DictConnection) -> None:
    """Each attempt has its own URL, and the revision of the row by which it was made."""
    async with stage(database_url, answering(503, 200)) as (post, server):
        job_id = add(db, "webhook", {"url": server.url("/before")}, retry_delay="1 second")
        due = utcnow()
        assert (await stand(post, job_id, due, by_hand=True)).state == "retry"
        first = one(db, "select revision from job")["revision"]
        db.execute("update job set payload = %s", (Jsonb({"url": server.url("/after"), "method": "PUT"}),))
        assert (await stand(post, job_id, due, try_number=2, by_hand=True)).state == "success"
    [row] = executions(db)
    assert requests(db) == [
        {"method": "POST", "url": server.url("/before")},
        {"method": "PUT", "url": server.url("/after")},
    ]
    second = one(db, "select revision from job")["revision"]
    assert [attempt["revision"] for attempt in row["attempts"]] == [first, second]
    assert first < second


async def test_what_a_run_by_hand_replaces_is_what_was_sent(database_url: str, db: DictConnection) -> None:
    """The request is not the one of the row, but the one that went out."""
    async with stage(database_url) as (post, server):
        job_id = add(db, "ping", {"url": server.url("/row")})
        await run(post, job_id, conf={"url": server.url("/other")})
    assert requests(db) == [{"method": "GET", "url": server.url("/other")}]


async def test_a_request_without_an_answer_is_known(database_url: str, db: DictConnection) -> None:
    """A time-out, a refused connection and an address that is not allowed all say what they were about."""
    async with stage(database_url, never) as (post, server):
        urls = [server.url("/slow"), f"http://127.0.0.1:{closed_port()}/", "http://10.0.0.1/"]
        for number, url in enumerate(urls):
            await run(post, add(db, "webhook", {"url": url}, name=str(number), timeout="300 milliseconds", retries=0))
    assert [row["status"] for row in executions(db)] == ["failed"] * 3
    assert requests(db) == [{"method": "POST", "url": url} for url in urls]


async def test_where_nothing_was_sent_there_is_no_request(database_url: str, db: DictConnection) -> None:
    """A payload that does not fit has the revision that does not, and no request."""
    async with opened_post(database_url) as post:
        await run(post, add(db, "ping", {"uri": "http://127.0.0.1/"}))
    [attempt] = executions(db)[0]["attempts"]
    assert "uri" in attempt["error"]
    assert ("request" in attempt, attempt["revision"]) == (False, one(db, "select revision from job")["revision"])


async def test_of_redirects_the_last_url_is_known(database_url: str, db: DictConnection) -> None:
    """Without the query, which the first server has made up, and may hold anything."""
    async with serving() as last, stage(database_url, redirect(last.url("/there?sig=1"))) as (post, server):
        await run(post, add(db, "http", {"url": server.url("/here"), "params": {"a": "b c", "api_key": SECRET}}))
    expected = {"method": "GET", "url": server.url("/here?a=b+c&api_key=***"), "redirected_to": last.url("/there")}
    assert requests(db) == [expected]


def of_kinds(server: Server, database: Connection) -> list[tuple[str, dict[str, Any], Connection, dict[str, str]]]:
    """Of every kind: a payload with secrets wherever one may be, its connection, and what is known of the attempt."""
    nothing, plain = Connection("c"), Connection("c", password=SECRET)
    open_mail = {"disable_ssl": True, "disable_tls": True, "from_email": "bot@example.com"}
    mail = Connection("c", "smtp", "127.0.0.1", closed_port(), login="bot", password=SECRET, extra=open_mail)
    chat = Connection("c", "slack", password=TOKEN, extra={"base_url": server.url("/api")})
    hook = Connection("c", "slackwebhook", password=server.url(f"/services/{TOKEN}"))
    url, shown = server.url(f"/x?access_token={SECRET}&n=1"), server.url("/x?access_token=***&n=1")
    headers = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
    signed = {"url": server.url(f"/x/{KEY}/y?n=1"), "headers": headers, "conn_id": "c", "body": {"password": SECRET}}
    to_slack = {"method": "POST", "url": server.url("/***")}
    to = ["ann@example.com", "bob@example.com"]
    curl = "curl -u ann:{0} -H 'X-Api-Key: {0}' http://bot:{0}@127.0.0.1:1/ >&-; exit 3"
    return [
        ("ping", {"url": url}, nothing, {"method": "GET", "url": shown}),
        ("http", {"url": url, "headers": headers}, nothing, {"method": "GET", "url": shown}),
        ("webhook", signed, Connection("c", password=KEY), {"method": "POST", "url": server.url("/x/***/y?n=1")}),
        ("slack", {"url": server.url(f"/services/T0/B0/{SECRET}"), "text": "hello"}, nothing, to_slack),
        ("slack", {"conn_id": "c", "text": SECRET}, hook, to_slack),
        ("slack", {"conn_id": "c", "text": SECRET, "channel": "#ops"}, chat, {**to_slack, "channel": "#ops"}),
        (
            "email",
            {"conn_id": "c", "to": to, "bcc": "eve@example.com", "subject": "Daily", "text": SECRET},
            mail,
            {"to": "ann@example.com, bob@example.com", "bcc": "eve@example.com", "subject": "Daily"},
        ),
        (
            "sql",
            {"conn_id": "c", "sql": f"select '{SECRET}'; select %(a)s::text", "parameters": {"a": SECRET}},
            replace(database, password=SECRET),
            {"sql": "select '***';\nselect %(a)s::text"},
        ),
        (
            "python",
            {"function": "user_functions:add", "arguments": {"a": SECRET}, "conn_id": "c"},
            plain,
            {"function": "user_functions:add"},
        ),
        (
            "shell",
            {"command": curl.format(SECRET), "environment": {"WORD": SECRET}},
            nothing,
            {"command": "curl -u *** -H 'X-Api-Key: ***' http://***@127.0.0.1:1/ >&-; exit 3"},
        ),
        ("shell", {"command": ["echo", "a b"]}, nothing, {"command": "echo 'a b'"}),
    ]


async def test_no_kind_notes_a_secret(database_url: str, db: DictConnection) -> None:
    """Neither of a connection nor of the row; and of every kind it is known what was sent."""
    to_here = Connection("c", "postgres", db.info.host, db.info.port, db.info.dbname, db.info.user)
    async with stage(database_url) as (post, server):
        post.is_on_worker, post.open_database = True, by_psycopg
        kinds = of_kinds(server, to_here)
        for number, (kind, payload, connection, _) in enumerate(kinds):
            post.connections = partial(_found, connection)
            await run(post, add(db, kind, payload, name=str(number), retries=0))
    rows = executions(db)
    assert requests(db) == [expected for *_, expected in kinds]
    for row in rows:
        assert not [secret for secret in (SECRET, KEY) if secret in json.dumps(row["attempts"])], row


async def _found(connection: Connection, _conn_id: str) -> Connection:
    return connection


async def test_what_a_connection_hides_is_hidden_wherever_it_is_sent(database_url: str) -> None:
    """A kind that puts a connection's password into a URL, in whatever spelling, need not think of what is noted."""
    async with serving() as server, opened_post(database_url) as post:
        noted = Noted(post.http)
        connection = Connection("bot", password="s3/cr et")
        await noted.request("GET", server.url("/bots3%2Fcr%20et/x?a=s3/cr+et"), timeout_seconds=5)
        assert noted.shown(blot_of(connection)) == {"method": "GET", "url": server.url("/bot***/x?a=***")}


async def test_a_kind_may_note_anything(database_url: str) -> None:
    """What it notes before it sends wins over the request; texts are short and few, and what is none becomes one."""
    async with serving() as server, opened_post(database_url) as post:
        noted = Noted(post.http)
        odd: dict[Any, Any] = {
            "long": "x" * 5000,
            "nul": "a\x00\ud800",
            "number": 7,
            "object": {"token": SECRET},
            3: None,
        }
        noted.sent.update(odd)
        noted.sent.update({f"more {number}": "" for number in range(20)})
        await noted.request("GET", server.url("/"), timeout_seconds=5)
        assert len(server.received) == 1
    shown = noted.shown(blot_of(None))
    assert len(shown) == 10
    assert "url" not in shown
    assert shown["long"] == "x" * LONGEST + "…"
    assert (shown["nul"], shown["number"], shown["object"], shown["3"]) == ("a\ufffd?", "7", "{'token': ***}", "None")


class Untold:
    """What cannot even be written down."""

    def __str__(self) -> str:
        raise LookupError


async def test_what_cannot_be_noted_is_no_failure(database_url: str) -> None:
    """What was done is done: nothing is raised, and nothing is noted."""
    async with opened_post(database_url) as post:
        noted = Noted(post.http)
        untold: Any = Untold()
        noted.sent["what"] = untold
        assert noted.shown(blot_of(None)) == {}


async def test_a_long_secret_is_hidden_as_a_whole(database_url: str) -> None:
    """Also where it is longer than what is looked at of the text that it is in."""
    key = "words of a key" * 500
    async with opened_post(database_url) as post:
        noted = Noted(post.http)
        noted.sent["sql"] = f"select '{key}'"
        assert noted.shown(blot_of(Connection("c", password=key))) == {"sql": "select '***'"}


async def test_timers_and_workflows_and_trials_know_it_as_well(database_url: str, db: DictConnection) -> None:
    """A timer has no revision; a record that was refused has the workflow's; a trial shows what it has tried."""
    connector = add_connector(db)
    append(db, connector, [{"n": 1}])
    async with stage(database_url, answering(400)) as (post, server):
        workflow = add_workflow(db, connector, server.url("/{{ record.payload.n }}"))
        await process(post, workflow)
        timer_id = add_timer(db, server.url("/timer"), due_at=utcnow(), retries=0)
        async with pumping(post):
            await until(lambda: has_status(db, "failed"))
        doing = doing_of("1", "webhook", {"url": server.url(f"/trial?token={SECRET}")}, HALF_A_MINUTE)
        tried = await try_here(doing, post.http, post.connections)
    [sent] = one(db, "select attempts from dead_letter")["attempts"]
    assert sent["request"] == {"method": "POST", "url": server.url("/1")}
    assert sent["revision"] == one(db, "select revision from workflow")["revision"]
    [sent] = timer(db, timer_id)["attempts"]
    assert (sent["request"], "revision" in sent) == ({"method": "POST", "url": server.url("/timer")}, False)
    assert tried.shown["attempts"][0]["request"] == {"method": "POST", "url": server.url("/trial?token=***")}
