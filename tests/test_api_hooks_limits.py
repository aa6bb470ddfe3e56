"""What the API does not put up with, and what it does while the database is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from include.api.problem import answer_problems
from include.store.db import DictConnection
from tests.api_server import Api, add_connector, serving, signed

pytestmark = pytest.mark.xdist_group("api")  # FastAPI is imported in one process only

ROOT = Path(__file__).parent.parent
LIMIT = 4 * 1024


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, hook_kib=4) as running:
        yield running


async def exchange(api: Api, *parts: bytes) -> str:
    """Send these bytes as they are, and return all that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return (await asyncio.wait_for(reader.read(), 20)).decode()
    finally:
        writer.close()


def head(*lines: str, name: str = "in") -> bytes:
    return "\r\n".join([f"POST /hooks/{name} HTTP/1.1", "Host: here", *lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def of_length(length: int) -> bytes:
    return b'{"a": "' + b"x" * (length - 9) + b'"}'


async def test_a_body_may_be_as_large_as_the_limit(api: Api, db: DictConnection) -> None:
    """The limit is the largest size that is taken; one byte more is not."""
    add_connector(db)
    body = of_length(LIMIT)
    assert (await api.push("in", body)).status == 202
    answer = await api.push("in", body + b" ", signed(body + b" ", "msg_2"))
    assert (answer.status, answer.body["detail"]) == (
        413,
        "the body is larger than 4 KiB: send it in several deliveries",
    )


async def test_an_announced_size_is_refused_before_a_byte_of_it_comes(api: Api, db: DictConnection) -> None:
    """Content-Length alone is reason enough, and the connection is closed; whether or not there is a connector."""
    add_connector(db)
    for name in ("in", "nobody"):
        answer = await exchange(api, head(f"Content-Length: {LIMIT + 1}", name=name))
        assert answer.startswith("HTTP/1.1 413 ")
        assert "connection: close" in answer.lower()


async def test_a_body_without_a_size_is_refused_as_soon_as_it_is_too_large(api: Api, db: DictConnection) -> None:
    """A chunked body that does not end is cut off at the limit."""
    add_connector(db)
    parts = [chunk(b"x" * 1024)] * 5
    answer = await exchange(api, head("Transfer-Encoding: chunked"), *parts)
    assert answer.startswith("HTTP/1.1 413 ")


async def test_a_chunked_body_within_the_limit_is_taken(api: Api, db: DictConnection) -> None:
    """What counts is what comes, not whether its size was announced."""
    add_connector(db)
    body = of_length(LIMIT)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, LIMIT, 1000):
            yield body[start : start + 1000]

    async with api.client.post(api.url("/hooks/in"), data=parts(), headers=signed(body)) as response:
        assert response.status == 202


async def test_a_large_body_is_told_why_it_is_refused(
    api: Api, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is still sending when it is refused reads the answer."""
    monkeypatch.setattr("include.api.body._LINGER_SECONDS", 60)
    monkeypatch.setattr("include.api.body._SILENCE_SECONDS", 10)
    add_connector(db)
    answer = await api.push("in", b"x" * 20_000_000, {})
    assert answer.status == 413


async def test_a_slow_sender_is_cut_off(database_url: str, db: DictConnection) -> None:
    """A body that does not arrive in time is a 408, and the connection closed; whether or not there is a connector."""
    add_connector(db)
    async with serving(database_url, most_seconds=0.3) as api:
        for name in ("in", "nobody"):
            answer = await exchange(api, head("Content-Length: 100", name=name), b'{"a": ')
            assert answer.startswith("HTTP/1.1 408 ")
            assert "the body did not arrive within 0.3 s" in answer
            assert "connection: close" in answer.lower()


async def test_a_sender_that_goes_away_leaves_nothing_behind(
    api: Api, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a delivery is not stored, is no error of ours, and others are taken as before."""
    add_connector(db)
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head("Content-Length: 100") + b"{}")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await api.push("in", b"{}")).status == 202
    assert [row["key"] for row in db.execute("select key from record").fetchall()] == ["msg_1"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_header_that_comes_twice_proves_nothing(api: Api, db: DictConnection) -> None:
    """Of two tokens in two headers neither counts, so that no proxy in between can have checked the other one."""
    add_connector(db, conn_id="token", verify="bearer")
    twice = ("Authorization: Bearer a-token", "Authorization: Bearer a-token")
    answer = await exchange(api, head("Content-Length: 2", "Connection: close", *twice), b"{}")
    assert answer.startswith("HTTP/1.1 401 ")


async def test_while_the_database_is_away_senders_are_asked_to_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database the answer is 503 with Retry-After."""
    monkeypatch.setattr("include.store.log._POOL_SECONDS", 0.3)
    nowhere = psycopg.conninfo.make_conninfo(database_url, dbname="nowhere")
    async with serving(nowhere) as api:
        answer = await api.push("in", b"{}")
    assert (answer.status, answer.body["detail"]) == (503, "the database does not answer")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_log_that_is_locked_does_not_hold_senders_for_ever(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that cannot be stored in time is a 503; sent again, it is stored once."""
    monkeypatch.setattr("include.api.hooks._STORE_SECONDS", 0.3)
    add_connector(db)
    async with serving(database_url) as api:
        with db.transaction():
            db.execute("select from connector for update")
            answer = await api.push("in", b"{}")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        monkeypatch.setattr("include.api.hooks._STORE_SECONDS", 30)
        assert (await api.push("in", b"{}")).body == {"positions": [1], "stored": 1}


async def test_an_error_that_nobody_expected_is_problem_details_too() -> None:
    """A mistake in our code is answered without particulars, and goes on to the server's own log."""
    app = FastAPI()
    answer_problems(app)

    @app.post("/")
    async def divide() -> float:
        return 1 / 0

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        response = await client.post("/")
        assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
        assert response.json()["detail"] == "an error of ours; the log of the API says which"
    with pytest.raises(ZeroDivisionError):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            await client.post("/")


@pytest.mark.e2e
def test_the_door_is_light_for_those_who_need_no_api() -> None:
    """Every process of Airflow loads the plugin; only one that asks for its apps imports the web framework."""
    script = (
        "import runpy, sys\n"
        "plugin = runpy.run_path('plugins/millrace_plugin.py')['MillracePlugin']()\n"
        "assert plugin.timetables\n"
        "assert not {'fastapi', 'starlette', 'psycopg_pool', 'jsonpath_ng'} & set(sys.modules)\n"
        "[mounted] = plugin.fastapi_apps\n"
        "from fastapi import FastAPI\n"
        "assert isinstance(mounted['app'], FastAPI) and mounted['url_prefix'] == '/millrace'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=120)
