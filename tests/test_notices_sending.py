"""Sending notices: one message to each place for all that has happened, again and again until it is there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from include import registry
from include.errors import ConfigError
from include.shifts.notices import Notices, pause, wording
from include.store.db import DictConnection
from tests.fake_http import Server
from tests.health_rows import SHOWN, add_notice, clean, outcomes, sender, told_job
from tests.test_shifts import answering, stage, until
from tests.test_store import one

__all__ = ["clean"]

pytestmark = pytest.mark.usefixtures("clean")


async def send(notices: Notices) -> int:
    """Send all that is due; how many messages that was."""
    await notices.send()  # channels that are new are taken the next time
    sent = await notices.send()
    tasks = [*notices._sending]
    await asyncio.gather(*tasks)
    return len({*sent, *tasks})


def bodies(server: Server) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in server.received]


def channel(db: DictConnection) -> dict[str, Any]:
    return one(db, "select * from notice_channel")


def past(db: DictConnection) -> None:
    """As if the time until the next attempt, or message, had passed."""
    db.execute("update notice_channel set next_at = now(), taken_until = null")


async def test_a_thousand_jobs_that_fail_are_one_message(database_url: str, db: DictConnection) -> None:
    """An outage is one message that counts them, names the first and says how many more there are."""
    async with sender(database_url) as (notices, server), outcomes(database_url) as ledger:
        notify = {"kind": "webhook", "payload": {"url": server.url("/told"), "body": SHOWN}}
        ids = [told_job(db, f"job {number}", notify=notify) for number in range(1000)]
        await ledger.write(*ids[:500], says="failed")
        await ledger.write(*ids[500:], says="failed")
        assert await send(notices) == 1
        assert await send(notices) == 0
    [body] = bodies(server)
    assert body["summary"] == "Millrace: 1,000 failing"
    assert (body["count"], body["more"], len(body["notices"])) == (1000, 980, 20)
    assert body["notices"][0] == {
        "event": "failure",
        "table": "job",
        "id": ids[0],
        "name": "job 0",
        "owner": "admin",
        "detail": "POST example.com 500",
        "count": 1,
        "at": body["notices"][0]["at"],
    }
    lines = body["text"].splitlines()
    assert lines[:2] == ["Millrace: 1,000 failing", "- job 0: failing: POST example.com 500"]
    assert lines[-1] == "- and 980 more"
    [request] = server.received
    last = one(db, "select max(id) as id, count(*) filter (where sent_at is null) as unsent from notice")
    assert (request.headers["webhook-id"], last["unsent"]) == (f"notice_{last['id']}", 0)


async def test_the_first_notice_waits_for_others(database_url: str, db: DictConnection) -> None:
    """Nothing is sent before the first has waited as long as it is set to; then all goes together."""
    async with sender(database_url, notice_gather_seconds=60) as (notices, server):
        add_notice(db, server)
        assert await send(notices) == 0
        db.execute("update notice set at = at - interval '61 s'")
        add_notice(db, server)
        assert await send(notices) == 1
    assert [body["count"] for body in bodies(server)] == [2]


async def test_the_next_message_comes_after_the_quiet_time(database_url: str, db: DictConnection) -> None:
    """What happens after a message waits until the place has had its quiet; other places do not wait for it."""
    async with sender(database_url) as (notices, server):
        add_notice(db, server)
        await send(notices)
        add_notice(db, server, count=2)
        add_notice(db, server, "/other")
        assert await send(notices) == 1
        assert [request.path for request in server.received] == ["/told", "/other"]
        quiet = one(db, "select max(next_at - sent_at) as quiet from notice_channel")["quiet"]
        assert quiet.total_seconds() == 300
        past(db)
        assert await send(notices) == 1
    assert [body["count"] for body in bodies(server)] == [1, 1, 2]


async def test_of_one_row_the_same_event_is_told_once_with_its_number(database_url: str, db: DictConnection) -> None:
    """Repeated events of a row are one line; a message of a single row says what happened in its summary."""
    async with sender(database_url) as (notices, server):
        add_notice(db, server)
        db.execute("update notice set event = 'missed', count = 4")
        add_notice(db, server)
        db.execute("update notice set event = 'missed', detail = 'the last' where event = 'failure'")
        await send(notices)
    [body] = bodies(server)
    assert body["summary"] == "Millrace: job 1: missed (5 times)"
    assert body["text"] == "Millrace: job 1: missed (5 times): the last"
    assert (body["count"], body["more"], body["notices"][0]["count"]) == (5, 0, 5)


async def test_a_place_that_is_down_is_tried_again_and_holds_up_nobody(database_url: str, db: DictConnection) -> None:
    """A failure is written down, the pauses grow, the message stays the same; the others get theirs meanwhile."""
    answers = answering(503, 404, 200)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answers(request) if request.path == "/told" else web.Response()

    async with sender(database_url, handle) as (notices, server):
        add_notice(db, server)
        assert await send(notices) == 1
        failed = channel(db)
        assert (failed["attempt"], failed["error"]) == (1, f"POST 127.0.0.1:{server.port} 503")
        add_notice(db, server)
        add_notice(db, server, "/other")
        assert await send(notices) == 1
        past(db)
        await send(notices)
        assert one(db, "select max(attempt) as attempt from notice_channel") == {"attempt": 2}
        past(db)
        await send(notices)
    told = [request for request in server.received if request.path == "/told"]
    assert [request.path for request in server.received] == ["/told", "/other", "/told", "/told"]
    assert {(request.headers["webhook-id"], json.loads(request.body)["count"]) for request in told} == {("notice_1", 1)}
    assert one(db, "select attempt, error from notice_channel order by sent_at desc") == {"attempt": 0, "error": None}
    assert one(db, "select count(*) as rows from notice where sent_at is null") == {"rows": 1}


async def test_a_place_that_does_not_answer_holds_up_nobody(database_url: str, db: DictConnection) -> None:
    """While one message waits for an answer, the others are sent."""
    there, leave = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/told":
            there.set()
            await leave.wait()
        return web.Response()

    async with sender(database_url, handle) as (notices, server):
        add_notice(db, server)
        await notices.send()
        await notices.send()
        await there.wait()
        add_notice(db, server, "/other")
        await notices.send()
        await asyncio.gather(*await notices.send())
        assert [request.path for request in server.received] == ["/told", "/other"]
        leave.set()
        await asyncio.gather(*notices._sending)


async def test_processes_share_the_channels(database_url: str, db: DictConnection) -> None:
    """Of several that look at once, one sends; each message is sent once."""
    async with sender(database_url) as (first, server), sender(database_url) as (second, _):
        for number in range(30):
            add_notice(db, server, f"/{number}")
        for _ in range(3):
            await asyncio.gather(send(first), send(second))
    assert sorted(int(request.path[1:]) for request in server.received) == list(range(30))


async def test_a_process_that_dies_while_sending_leaves_the_message_to_another(
    database_url: str, db: DictConnection
) -> None:
    """Nobody else sends it while it may be under way; after that it goes out as it was, under the same key."""
    arrived = asyncio.Event()
    slow = True

    async def handle(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        if slow:
            await asyncio.sleep(30)
        return web.Response()

    async with sender(database_url) as (other, _):
        async with sender(database_url, handle) as (notices, server):
            add_notice(db, server)
            await notices.send()
            await notices.send()
            await arrived.wait()
            await notices.close()
            slow = False
            add_notice(db, server)
            assert await send(other) == 0
            past(db)
            assert await send(other) == 1
        ids = [request.headers["webhook-id"] for request in server.received]
        assert ids == ["notice_1", "notice_1"]
        assert [body["count"] for body in bodies(server)] == [1, 1]


async def test_a_post_sends_by_itself(database_url: str, db: DictConnection) -> None:
    """Whatever runs jobs also sends what is to be told of them, from the failure to the message."""
    async with stage(database_url, notice_gather_seconds=0) as (_, server), outcomes(database_url) as ledger:
        notify = {"kind": "webhook", "payload": {"url": server.url(), "body": {"it": "{{ notices.0.name }}"}}}
        await ledger.write(told_job(db, notify=notify), says="failed")
        await until(lambda: server.received)
        await until(lambda: channel(db)["sent_at"] is not None)
    assert bodies(server) == [{"it": "a"}]


async def test_what_a_notify_does_not_say_is_as_its_kind_says(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NOTICE` of a kind fills in what the payload leaves out, in a message and where the row is judged."""
    monkeypatch.setattr(
        "include.actions.http.NOTICE", {"method": "POST", "json": {"it": "{{ summary }}"}}, raising=False
    )
    registry.action.cache_clear()
    try:
        async with sender(database_url) as (notices, server):
            filled = {"kind": "http", "payload": {"url": server.url()}}
            written = {"kind": "http", "payload": {"url": server.url(), "json": {"mine": "{{ count }}"}}}
            for notify in (filled, written):
                registry.vet_notify(notify)
                db.execute(
                    "insert into notice (table_name, row_id, name, owner, event, detail, channel)"
                    " values ('job', 1, 'a', 'ann', 'recovery', 'well', %s)",
                    (json.dumps(notify),),
                )
            await send(notices)
    finally:
        registry.action.cache_clear()
    assert sorted(bodies(server), key=str) == [{"it": "Millrace: a: recovered"}, {"mine": 1}]


@pytest.mark.parametrize(
    ("notify", "says"),
    [
        ({"kind": "nosuch"}, "unknown kind 'nosuch'"),
        ({"kind": "webhook", "payload": {}}, "url"),
        ({"kind": "webhook", "payload": {"url": "http://h/", "body": "{{ nope("}}, "body: "),
        ({}, "unknown kind"),
    ],
)
def test_a_notify_that_cannot_work_is_seen_before_it_is_needed(notify: dict[str, Any], says: str) -> None:
    """An unknown kind, settings that do not fit it and broken templates are refused."""
    with pytest.raises(ConfigError, match=says):
        registry.vet_notify(notify)


async def test_a_template_that_finds_nothing_is_an_error_that_is_seen(database_url: str, db: DictConnection) -> None:
    """What cannot be rendered stays in the outbox, with the reason."""
    async with sender(database_url) as (notices, server):
        add_notice(db, server, body={"text": "{{ nosuch }}"})
        await send(notices)
        assert server.received == []
    assert "nosuch" in channel(db)["error"]


async def test_what_was_sent_long_ago_is_forgotten(database_url: str, db: DictConnection) -> None:
    """Sent notices go after a time, and channels that are quiet; what was never sent stays."""
    async with sender(database_url, answering(200, 500)) as (notices, server):
        add_notice(db, server, "/sent")
        await send(notices)
        add_notice(db, server, "/unsent")
        await send(notices)
        db.execute("update notice set at = at - interval '40 days', sent_at = sent_at - interval '40 days'")
        db.execute("update notice_channel set next_at = next_at - interval '40 days'")
        await notices._outbox.forget(days=30)
    assert one(db, "select count(*) as rows, count(sent_at) as sent from notice") == {"rows": 1, "sent": 0}
    assert one(db, "select count(*) as rows from notice_channel") == {"rows": 1}


def test_pauses_grow_up_to_a_day() -> None:
    """Each is twice the one before, or as long as the other side asks for."""
    assert [pause(attempt) for attempt in (1, 2, 3, 12, 1000)] == [30, 60, 120, 61_440, 86_400]
    assert (pause(1, 600.0), pause(1, 1e9)) == (600, 86_400)


def test_a_message_counts_by_event() -> None:
    """The summary names each event with its number, what failed first."""
    notice = {
        "event": "recovery",
        "table": "job",
        "id": 1,
        "name": "a",
        "owner": "o",
        "at": "",
        "detail": "d",
        "count": 1,
    }
    made = wording([notice, {**notice, "event": "disabled"}], {"recovery": 1, "disabled": 2, "failure": 1200}, 1203)
    assert made["summary"] == "Millrace: 1,200 failing, 1 recovered, 2 paused by Millrace"
    assert (made["count"], made["more"]) == (1203, 1201)
