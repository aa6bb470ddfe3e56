"""The examples on recorded pages of their APIs: what is asked and stored, what the next pull asks, what is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg.types.json import Jsonb

from include.local.home import PROJECT
from include.model import Connection
from include.shifts import pull, workflow
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.fake_http import Server, serving
from tests.recorded.replay import RECORDED, replaying
from tests.shift_stage import opened_post

CONNECTIONS = {
    "github": Connection("github", password="github_pat_11EXAMPLE0recorded"),
    "stripe": Connection("stripe", password="rk_test_EXAMPLErecorded"),
    "zendesk": Connection("zendesk", login="ada@example.com/token", password="zd-EXAMPLE-recorded"),
}


class Stage:
    """An example's connector and workflow in the database, in front of its recording and of a receiver."""

    def __init__(self, db: DictConnection, post: Post, receiver: Server) -> None:
        self._db = db
        self._post = post
        self._receiver = receiver

    async def pull(self) -> Ending:
        return await pull.stand(Shift(1, utcnow(), "run", 1, by_hand=True, table="connector"), self._post)

    def stored(self, after: int = 0) -> list[tuple[str, int]]:
        """Key and version of each record past a position, in the order of the log."""
        rows = self._db.execute("select key, version from record where position > %s order by position", (after,))
        return [(str(row["key"]), int(str(row["version"]))) for row in rows]

    def row(self) -> dict[str, Any]:
        row = self._db.execute("select * from connector").fetchone()
        assert row is not None
        return row

    def payload(self, position: int) -> Any:
        row = self._db.execute("select payload from record where position = %s", (position,)).fetchone()
        assert row is not None
        return row["payload"]

    async def sent(self) -> list[Any]:
        """The bodies that the example's workflow posts."""
        shift = Shift(1, utcnow(), "run", 1, by_hand=True, table="workflow")
        assert (await workflow.stand(shift, self._post)).state == "success"
        return [json.loads(received.body) for received in self._receiver.received]


@asynccontextmanager
async def example(name: str, database_url: str, db: DictConnection) -> AsyncIterator[Stage]:
    """The rows of an example as its SQL file makes them, but for where they call, and how often they may."""
    db.execute((PROJECT / "examples" / f"{name}.sql").read_bytes())
    async with replaying(RECORDED / name) as replay, serving() as receiver, opened_post(database_url) as post:
        db.execute(
            "update connector set rate_limit = null, config = replace(config::text, %s, %s)::jsonb",
            (replay.origin, replay.url),
        )
        db.execute("update workflow set payload = payload || %s", (Jsonb({"url": receiver.url("/hook")}),))

        async def find(conn_id: str) -> Connection:
            return CONNECTIONS[conn_id]

        post.connections = find
        yield Stage(db, post, receiver)


async def test_github_issues(database_url: str, db: DictConnection) -> None:
    """Two pages by their links; then what was edited since the newest edit: a new version of an issue, and no other."""
    async with example("github-issues", database_url, db) as stage:
        assert (await stage.pull()).line == "1 pulls, 3 new records"
        assert stage.stored() == [("60412", 1), ("60409", 1), ("59988", 1)]
        assert stage.row()["cursor"] == {"last": {"updated_at": "2026-01-13T09:30:11Z"}}
        assert (await stage.pull()).line == "1 pulls, 1 new records"
        assert stage.stored(after=3) == [("59988", 2)]
        assert stage.row()["cursor"] == {"last": {"updated_at": "2026-01-13T10:05:59Z"}}
        assert [stage.payload(position)["state"] for position in (3, 4)] == ["closed", "open"]
        reopened = "https://github.com/apache/airflow/issues/59988"
        assert await stage.sent() == [
            {"title": "Grid view forgets the selected run", "url": "https://github.com/apache/airflow/issues/60412"},
            {"title": "Document the asset events of the REST API", "url": reopened},
        ]


async def test_hacker_news(database_url: str, db: DictConnection) -> None:
    """As many pages as there are; then from ten minutes before the newest story: the late one is found, none twice."""
    async with example("hacker-news", database_url, db) as stage:
        assert (await stage.pull()).line == "1 pulls, 3 new records"
        assert stage.stored() == [("46600321", 1), ("46590010", 1), ("46488800", 1)]
        assert stage.row()["cursor"] == {"last": {"created_at_i": 1768302125}}
        assert (await stage.pull()).line == "1 pulls, 1 new records"
        assert stage.stored(after=3) == [("46600290", 1)]
        assert stage.row()["cursor"] == {"last": {"created_at_i": 1768302125}}
        assert (await stage.sent())[1:4:2] == [
            {"text": "Ask HN: How do you upgrade PostgreSQL? https://news.ycombinator.com/item?id=46590010"},
            {"text": "Show HN: PostgreSQL in a wheel https://news.ycombinator.com/item?id=46600290"},
        ]


async def test_postgresql_news(database_url: str, db: DictConnection) -> None:
    """The oldest entry first; a feed that has not changed is not sent, and of one that has only what is new stored."""
    news = "https://www.postgresql.org/about/news"
    async with example("postgresql-news", database_url, db) as stage:
        assert (await stage.pull()).line == "1 pulls, 2 new records"
        assert stage.stored() == [
            (f"{news}/a-new-version-of-a-connection-pooler-3198/", 1),
            (f"{news}/minor-releases-of-all-supported-versions-3201/", 1),
        ]
        assert stage.row()["cursor"]["etag"] == '"5c1f0e5d"'
        assert (await stage.pull()).line == "1 pulls, 0 new records"
        assert (await stage.pull()).line == "1 pulls, 1 new records"
        assert stage.row()["cursor"]["etag"] == '"80d2a417"'
        assert (await stage.sent())[2] == {
            "text": f"A conference calls for papers {news}/a-conference-calls-for-papers-3204/"
        }


async def test_stripe_events(database_url: str, db: DictConnection) -> None:
    """The last id of a page asks for the next; then from five minutes before the newest event, and none comes twice."""
    async with example("stripe-events", database_url, db) as stage:
        assert (await stage.pull()).line == "1 pulls, 3 new records"
        assert stage.stored() == [("evt_1SpExample0005", 1), ("evt_1SpExample0004", 1), ("evt_1SoExample0001", 1)]
        assert stage.row()["cursor"] == {"last": {"created": 1768303000}}
        assert (await stage.pull()).line == "1 pulls, 1 new records"
        assert stage.stored(after=3) == [("evt_1SpExample0009", 1)]
        assert stage.row()["cursor"] == {"last": {"created": 1768306600}}
        assert await stage.sent() == [stage.payload(1)["data"]["object"]]


async def test_zendesk_tickets(database_url: str, db: DictConnection) -> None:
    """Links are followed until a page is empty; a pull that is told to wait goes on from where it was."""
    async with example("zendesk-tickets", database_url, db) as stage:
        assert (await stage.pull()).line == "1 pulls, 3 new records"
        assert stage.stored() == [("35436", 1), ("35437", 1), ("35440", 1)]
        assert stage.row()["cursor"] == {"last": {"generated_timestamp": 1768123456}}
        told = await stage.pull()
        assert (told.state, "the source says to wait" in told.line) == ("success", True)
        assert stage.stored(after=3) == [("35436", 2)]
        assert stage.row()["cursor"]["last"] == {"generated_timestamp": 1768123456}
        assert stage.row()["not_before"] is not None
        assert (await stage.pull()).line == "1 pulls, 0 new records"
        assert stage.row()["cursor"] == {"last": {"generated_timestamp": 1768130000}}
        assert await stage.sent() == [{"ticket": 35436, "subject": "The printer is on fire"}]
