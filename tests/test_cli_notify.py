"""`./millrace notify`: whom owners have told, and what is still to be sent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from include.cli.notify import app
from include.errors import MillraceError
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing
from tests.fake_http import Server, serving
from tests.health_rows import clean
from tests.test_store import one

__all__ = ["clean", "environment"]

pytestmark = pytest.mark.usefixtures("clean")

URL = "url=http://127.0.0.1:9/told"


@pytest.fixture
def run(environment: None) -> Run:
    return going_well(app)


@pytest.fixture
def refused(environment: None) -> Refused:
    return refusing(app)


@pytest.fixture
def receiver() -> Iterator[Server]:
    """A server in a thread of its own, for the command has its own loop."""
    ready, done = threading.Event(), threading.Event()
    found: list[Server] = []

    async def serve() -> None:
        async with serving() as opened:
            found.append(opened)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield found[0]
    done.set()
    thread.join()


def test_set_says_whom_to_tell_and_list_shows_it(run: Run, db: DictConnection) -> None:
    """What is written is stored whole, in place of what was there, and shown."""
    run("set", "ann", "webhook", "--set", "url=http://old/", "--set", "body.a=1")
    result = run(
        "set", "ann", "webhook", "--set", URL, "--set", "body.t={{ text }}", "--on", "failure, missed", "--after", "3"
    )
    assert result.stdout == "ann is told by webhook of failure, missed\n"
    stored = {
        "kind": "webhook",
        "payload": {"url": "http://127.0.0.1:9/told", "body": {"t": "{{ text }}"}},
        "on": ["failure", "missed"],
        "after": 3,
    }
    assert one(db, "select owner, notify from owner_notify") == {"owner": "ann", "notify": stored}
    assert document(run("list", "--json"))["owners"][0]["notify"] == stored
    [header, line] = run("list").stdout.splitlines()
    assert header.split() == ["owner", "kind", "on", "after", "payload"]
    assert line.split()[:5] == ["ann", "webhook", "failure,", "missed", "3"]


def test_what_could_not_work_is_refused(refused: Refused, db: DictConnection) -> None:
    """A kind or a setting that makes no sense, and an event that there is not, are named."""
    assert "unknown kind 'smoke'" in refused("set", "ann", "smoke")
    assert "url" in refused("set", "ann", "webhook", "--set", "body.a=1")
    assert "an event that there is not" in refused("set", "ann", "webhook", "--set", URL, "--on", "fire")
    assert "owner 'ann' has nobody told" in refused("unset", "ann")
    assert "owner 'ann' has nobody told" in refused("test", "ann")
    assert one(db, "select count(*) as rows from owner_notify") == {"rows": 0}


def test_unset_tells_nothing_more(run: Run, db: DictConnection) -> None:
    """The owner's row is gone; that there is none is said with how to add one."""
    run("set", "ann", "webhook", "--set", URL)
    assert run("unset", "ann").stdout == "ann is told nothing more\n"
    assert one(db, "select count(*) as rows from owner_notify") == {"rows": 0}
    assert "notify set --help" in run("list").stderr


def test_list_shows_what_is_still_to_be_sent(run: Run, db: DictConnection) -> None:
    """Each place with what waits for it, how often that has failed, and why."""
    channel = json.dumps({"kind": "webhook", "payload": {"url": "http://h/"}})
    for owner in ("ann", "bob"):
        db.execute(
            "insert into notice (table_name, row_id, name, owner, event, detail, channel)"
            " values ('job', 1, 'a', %s, 'failure', 'broken', %s)",
            (owner, channel),
        )
    waiting = document(run("list", "--json"))["unsent"]
    assert [(row["notices"], row["attempt"], row["next_at"]) for row in waiting] == [(2, 0, None)]
    db.execute(
        "insert into notice_channel (key, message, attempt, error, next_at)"
        " select channel_key, max(id), 2, 'POST h 503', now() + interval '1 hour' from notice group by 1"
    )
    lines = run("list").stdout.splitlines()
    assert lines[1] == "still to be sent:"
    assert "ann, bob" in lines[3]
    assert "POST h 503" in lines[3]


def test_a_test_is_sent_from_here(run: Run, receiver: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message goes out at once, with templates filled in, and its outcome is shown."""
    monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", "127.0.0.0/8")
    run("set", "ann", "webhook", "--set", f"url={receiver.url('/told')}", "--set", "body.it={{ summary }}")
    assert run("test", "ann").stdout == f"sent: POST 127.0.0.1:{receiver.port} 200\n"
    [request] = receiver.received
    assert json.loads(request.body) == {"it": "Millrace: ann: a test"}
    assert request.headers["webhook-id"].startswith("notice_test_")


def test_a_test_goes_where_calls_may_go_and_nowhere_else(run: Run, receiver: Server) -> None:
    """The guard stands before it as before every call."""
    run("set", "ann", "webhook", "--set", f"url={receiver.url()}", "--set", "body.it=1")
    with pytest.raises(AssertionError) as refused:
        run("test", "ann")
    assert isinstance(refused.value.args[0][1], MillraceError)
    assert receiver.received == []


def test_a_test_that_takes_a_connection_is_left_to_the_system(run: Run, db: DictConnection) -> None:
    """Secrets are Airflow's: such a message is queued like any other notice, and that is said."""
    run("set", "ann", "webhook", "--set", URL, "--set", "conn_id=signing", "--set", "body.it=1")
    assert run("test", "ann").stdout == "the system sends it soon, for it takes an Airflow connection\n"
    row = one(db, "select event, owner, name, channel from notice")
    assert (row["event"], row["owner"], row["name"], row["channel"]["payload"]["conn_id"]) == (
        "test",
        "ann",
        "ann",
        "signing",
    )
