"""A secret of a connection is seen nowhere: after every kind has run, well and badly, everything is searched for it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from aiohttp import web
from psycopg import sql

from include.local.postgres import Postgres
from include.model import Connection
from include.settings import settings
from include.shifts import job as job_shift
from include.shifts import pull, workflow
from include.shifts import trial as trials
from include.shifts.bell import utcnow
from include.shifts.blot import Blot
from include.shifts.notices import Notices
from include.shifts.perform import Doing, without_secrets
from include.shifts.post import FindConnection, Post
from include.shifts.shift import Shift
from include.store.db import DictConnection
from tests import canary
from tests.canary_places import answers, outputs, pages
from tests.fake_http import Server, serving
from tests.log_rows import add_connector, add_workflow, append
from tests.smtp_server import Mailing
from tests.smtp_server import serving as mail_serving
from tests.sql_database import by_psycopg
from tests.test_store import add_job
from tests.timer_rows import add_timer, pumping, timer
from tests.way_out import closed_port

pytestmark = pytest.mark.xdist_group("api")

MAIL = {"to": "ann@example.com", "subject": "Hello", "text": "World"}
# By name: the kind, its settings, and whether it goes well. {} is where the server is.
JOBS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "ping": ("ping", {"url": "{}/ok"}, True),
    "ping, bad status": ("ping", {"url": "{}/bad"}, False),
    "http": ("http", {"url": "{}/ok"}, True),
    "http, refused": ("http", {"url": "{closed}/"}, False),
    "webhook": ("webhook", {"url": "{}/ok", "conn_id": "hook"}, True),
    "webhook, bad status": ("webhook", {"url": "{}/bad", "conn_id": "hook"}, False),
    "webhook, time-out": ("webhook", {"url": "{}/slow", "conn_id": "hook"}, False),
    "webhook, refused": ("webhook", {"url": "{closed}/", "conn_id": "hook"}, False),
    "webhook, no key": ("webhook", {"url": "{}/ok", "conn_id": "chat"}, False),
    "slack": ("slack", {"conn_id": "chat", "channel": "c", "text": "t"}, True),
    "slack, bad status": ("slack", {"conn_id": "chat_down", "channel": "c", "text": "t"}, False),
    "slack, wrong type": ("slack", {"conn_id": "mail", "channel": "c", "text": "t"}, False),
    "slackwebhook": ("slack", {"conn_id": "room", "text": "t"}, True),
    "slackwebhook, bad status": ("slack", {"conn_id": "room_down", "text": "t"}, False),
    "email": ("email", {"conn_id": "mail", **MAIL}, True),
    "email, not let in": ("email", {"conn_id": "mail_refused", **MAIL}, False),
    "shell": ("shell", {"command": "env"}, True),
    "shell, exit code": ("shell", {"command": "env; exit 1"}, False),
    "sql": ("sql", {"conn_id": "shop", "sql": "select 1"}, True),
    "sql, says it": ("sql", {"conn_id": "shop", "sql": "select current_setting('canary.password')"}, True),
    "sql, bad statement": ("sql", {"conn_id": "shop", "sql": "select nothing"}, False),
    "sql, refused": ("sql", {"conn_id": "shop_gone", "sql": "select 1"}, False),
    "python": ("python", {"function": "user_canary:tells", "conn_id": "mine"}, True),
    "python, raises": ("python", {"function": "user_canary:raises", "conn_id": "mine"}, False),
    "python, gives up": ("python", {"function": "user_canary:gives_up", "conn_id": "mine"}, False),
}
REST = {"base_url": "{}", "path": "list", "primary_key": "id", "paginator": "single_page"}
OAUTH = {"type": "oauth2_client_credentials", "access_token_url": "{}/token"}
BY_QUERY = {"type": "api_key", "name": "key", "location": "query"}
TABLE = {"table": "public.sold", "primary_key": "id"}
CONNECTORS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "rest": ("rest", {**REST, "conn_id": "api"}, True),
    "rest, bad status": ("rest", {**REST, "conn_id": "api", "path": "bad"}, False),
    "rest, time-out": ("rest", {**REST, "conn_id": "api", "path": "slow"}, False),
    "rest, by query": ("rest", {**REST, "conn_id": "api", "path": "bad", "auth": BY_QUERY}, False),
    "rest, basic": ("rest", {**REST, "conn_id": "basic", "path": "bad"}, False),
    "rest, oauth": ("rest", {**REST, "conn_id": "basic", "auth": OAUTH}, True),
    "rest, oauth, bad status": ("rest", {**REST, "conn_id": "basic", "path": "bad", "auth": OAUTH}, False),
    "rest, oauth refused": (
        "rest",
        {**REST, "conn_id": "basic", "auth": {**OAUTH, "access_token_url": "{}/bad"}},
        False,
    ),
    "feed": ("feed", {"url": "{}/feed", "conn_id": "api"}, True),
    "feed, bad status": ("feed", {"url": "{}/bad", "conn_id": "api"}, False),
    "postgres": ("postgres", {**TABLE, "conn_id": "shop"}, True),
    "postgres, no table": ("postgres", {**TABLE, "table": "public.nothing", "conn_id": "shop"}, False),
    "postgres, refused": ("postgres", {**TABLE, "conn_id": "shop_gone"}, False),
    "python": ("python", {"function": "user_canary:pages", "conn_id": "mine"}, True),
    "python, raises": ("python", {"function": "user_canary:breaks", "conn_id": "mine"}, False),
}


async def hostile(request: web.Request) -> web.StreamResponse:
    """Says back whatever it is told, with every header, also where it takes it."""
    told = {"path": request.path_qs, "headers": dict(request.headers), "body": (await request.read()).decode()}
    if request.path.startswith("/slow"):
        await asyncio.sleep(30)
    if request.path == "/token":
        return web.json_response({"access_token": canary.TOKEN, "expires_in": 60})
    if request.path == "/list":
        return web.json_response([{"id": 1}], headers={"X-Told": json.dumps(told["headers"])})
    if request.path == "/feed":
        item = "<rss version='2.0'><channel><title>x</title><item><guid>1</guid></item></channel></rss>"
        return web.Response(text=item, content_type="application/xml")
    if request.path.endswith("/chat.postMessage") and request.path.startswith("/ok"):
        return web.json_response({"ok": True, "channel": "c", "ts": "1.0", "told": told})
    if request.path.startswith("/ok/"):
        return web.Response(text="ok")
    return web.json_response(told, status=500 if request.path.startswith("/bad") else 200)


@pytest.fixture
def shop(server: Postgres) -> Iterator[Connection]:
    """A database whose user has the canary as his password, and a setting that tells it."""
    server.create_database("canary_shop")
    url = server.url("canary_shop")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("drop schema public cascade; create schema public; grant usage on schema public to public")
        password = sql.Literal(canary.PASSWORD)
        db.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(canary.LOGIN), password))
        db.execute(sql.SQL("alter role {} set canary.password = {}").format(sql.Identifier(canary.LOGIN), password))
        db.execute("create table public.sold (id int primary key)")
        db.execute("insert into public.sold values (1)")
        db.execute(sql.SQL("grant select on public.sold to {}").format(sql.Identifier(canary.LOGIN)))
        yield Connection("shop", host="127.0.0.1", port=urlsplit(url).port, schema="canary_shop")
        db.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(canary.LOGIN)))


@pytest.fixture(autouse=True)
def worker(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> Iterator[None]:
    """This process is a worker with a canary in its environment, and logs all there is to log."""
    caplog.set_level(logging.DEBUG)
    given = {"DATABASE_URL": database_url, "ALLOW_SHELL": "1", "USER_CODE": "tests", "EGRESS_ALLOW": "127.0.0.0/8"}
    for name, value in {**given, "HOME": str(tmp_path), "METRICS_TOKEN": ""}.items():
        monkeypatch.setenv(f"MILLRACE_{name}", value)
    monkeypatch.delenv("MILLRACE_METRICS_TOKEN")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", canary.TOKEN)
    settings.cache_clear()
    yield
    settings.cache_clear()


class Scene:
    """A worker's post, with every connection there is, and a server that says back what it is told."""

    def __init__(self, post: Post, server: Server, find: FindConnection) -> None:
        self.post = post
        self.server = server
        self.find = find

    def filled(self, config: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(config).replace("{closed}", f"http://127.0.0.1:{closed_port()}")
        filled: dict[str, Any] = json.loads(text.replace('"{}', f'"{self.server.url("")}'))
        return filled


@pytest.fixture
async def scene(database_url: str, shop: Connection) -> Any:
    mailing = Mailing(users={canary.LOGIN: canary.PASSWORD})
    async with serving(hostile) as server:
        with mail_serving(mailing) as mail:
            held = canary.connections(server.url(""), mail.port, shop)

            async def find(conn_id: str) -> Connection:
                return held[conn_id]

            post = Post(settings(), find, open_database=by_psycopg, is_on_worker=True)
            await post.open()
            try:
                yield Scene(post, server, find)
            finally:
                await post.close()


def nothing_is_seen(scene: Scene, db: DictConnection, caplog: pytest.LogCaptureFixture) -> None:
    """Search tables, logs, the API, the dashboard and the commands."""
    assert canary.tables_with_secrets(db, "millrace", "public") == {}
    assert canary.seen_in(caplog.text.splitlines()) == []
    url = settings().database_url
    places = [*answers(url, db, scene.find), *pages(url), *outputs(db)]
    assert {place: canary.seen_in(text.splitlines()) for place, text in places if canary.seen_in(text)} == {}
    assert canary.seen_in(caplog.text.splitlines()) == []


def test_the_search_finds_every_spelling(db: DictConnection) -> None:
    """What the other tests do not find is not there: a canary in a column, however it is spelt, would be found."""
    for number, spelling in enumerate(sorted(canary.spellings(canary.PASSWORD))):
        add_job(db, f"job {number}", external_id=spelling)
        assert canary.seen_in({"a": [f"before {spelling} after"]})
    assert set(canary.tables_with_secrets(db, "millrace", "public")) == {"job", "audit"}


def test_a_defect_is_logged_without_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    """An error that a kind should not have raised is logged with its trace, and with that of what it came from."""
    doing = Doing("ping", {}, "job_1_0", utcnow(), timedelta(seconds=1))
    try:
        try:
            raise ValueError(f"first {canary.PASSWORD}")
        except ValueError as first:
            raise LookupError(canary.TOKEN) from first
    except LookupError as error:
        hidden = without_secrets(doing, error, Blot([canary.PASSWORD, canary.TOKEN]))
    assert str(hidden) == "kind 'ping' raised LookupError: ***"
    assert "ValueError: first ***" in caplog.text
    assert "in test_a_defect_is_logged_without_the_secret" in caplog.text
    assert canary.seen_in([str(hidden), caplog.messages[-1]]) == []


@pytest.mark.e2e
async def test_jobs_of_every_kind_show_no_secret(
    scene: Scene, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """Done, refused, timed out, broken off: nothing that people can look at has a secret of the job's connection."""
    for name, (kind, payload, goes_well) in JOBS.items():
        seconds = "1 second" if name.endswith("time-out") else "20 seconds"
        columns = {"kind": kind, "payload": json.dumps(scene.filled(payload)), "timeout": seconds, "retries": 0}
        job_id = add_job(db, name, **columns)
        ending = await job_shift.stand(Shift(job_id, utcnow(), "run", 1, by_hand=True), scene.post)
        assert (ending.state == "success") == goes_well, (name, ending)
    nothing_is_seen(scene, db, caplog)


@pytest.mark.e2e
async def test_connectors_of_every_kind_show_no_secret(
    scene: Scene, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """Pulled well or badly, and pushed to by whoever has the secret and whoever has not."""
    for name, (kind, config, goes_well) in CONNECTORS.items():
        timeout = "1 second" if name.endswith("time-out") else "20 seconds"
        columns = {"kind": kind, "config": scene.filled(config), "timeout": timeout, "every": "1 hour"}
        connector = add_connector(db, name, **columns)
        shift = Shift(connector, utcnow(), "run", 1, by_hand=True, table="connector")
        ending = await pull.stand(shift, scene.post)
        assert (ending.state == "success") == goes_well, (name, ending)
    nothing_is_seen(scene, db, caplog)


@pytest.mark.e2e
async def test_workflows_timers_trials_and_notices_show_no_secret(
    scene: Scene, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """They do what jobs do; a template that fails, and a notice that is not taken, are kept and logged as well."""
    connector = add_connector(db)
    append(db, connector, [{"n": 1}])
    for name in ("ok", "bad"):
        payload = {"url": scene.server.url(f"/{name}"), "conn_id": "hook"}
        add_workflow(db, connector, "", name, payload=payload, retries=0)
        told = {
            "conn_id": "chat" if name == "ok" else "chat_down",
            "channel": "c",
            "text": "no. {{ record.payload.n }}",
        }
        add_workflow(db, connector, "", f"slack {name}", kind="slack", payload=told, retries=0)
    broken = {"conn_id": "chat", "channel": "c", "text": "{{ record.payload.n.no.such.thing }}"}
    add_workflow(db, connector, "", "template", kind="slack", payload=broken, retries=0)
    for row in db.execute("select id from workflow").fetchall():
        await workflow.stand(Shift(row["id"], utcnow(), "run", 1, by_hand=True, table="workflow"), scene.post)
    assert len(db.execute("select from dead_letter").fetchall()) == 3  # of five

    timers = [
        add_timer(db, scene.server.url(path), conn_id="hook", due_at=utcnow(), retries=0) for path in ("/ok", "/bad")
    ]
    async with pumping(scene.post):
        while not all(timer(db, timer_id)["status"] in ("fired", "failed") for timer_id in timers):
            await asyncio.sleep(0.05)

    for _, (kind, payload, _) in JOBS.items():
        if "time-out" in str(payload) or kind in ("sql", "shell", "python"):
            continue
        doing = trials.doing_of("1", kind, scene.filled(payload), timedelta(seconds=1))
        outcome = await trials.try_here(doing, scene.post.http, scene.find)
        assert canary.seen_in(outcome.shown) == []

    for number, conn_id in enumerate(("chat", "chat_down", "room_down", "mail_refused")):
        notify = {"kind": "email" if conn_id.startswith("mail") else "slack", "payload": {"conn_id": conn_id}}
        notify["payload"] |= {"to": "ann@example.com"} if notify["kind"] == "email" else {"channel": "c"}
        db.execute(
            "insert into job (name, kind, payload, notify, retries) values (%s, 'http', %s, %s, 0)",
            (f"fails {number}", json.dumps({"url": scene.server.url("/bad")}), json.dumps(notify)),
        )
    for row in db.execute("select id from job").fetchall():
        await job_shift.stand(Shift(row["id"], utcnow(), "run", 1, by_hand=True), scene.post)
    notices = Notices(scene.post)
    try:
        for _ in range(3):
            await asyncio.gather(*await notices.send())
            db.execute("update notice set at = at - interval '1 hour'")
    finally:
        await notices.close()
    assert len(db.execute("select from notice_channel where error is not null").fetchall()) == 3
    nothing_is_seen(scene, db, caplog)
