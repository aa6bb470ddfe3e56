"""Pushing records over HTTP: what is answered, and what is in the log then."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator

import pytest

from include.store.db import DictConnection
from tests.api_server import SECRET, Answer, Api, add_connector, serving, signed

pytestmark = pytest.mark.xdist_group("api")  # FastAPI is imported in one process only

TOKEN = {"Authorization": "Bearer a-token"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url) as running:
        yield running


def stored(db: DictConnection) -> list[tuple[object, ...]]:
    rows = db.execute("select position, key, payload from record order by connector_id, position").fetchall()
    return [tuple(row.values()) for row in rows]


def problem(answer: Answer) -> str:
    """The detail of an answer, which must be problem details."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.body) == {"type", "title", "status", "detail"}
    assert (answer.body["type"], answer.body["status"]) == ("about:blank", answer.status)
    assert answer.body["title"]
    return str(answer.body["detail"])


async def test_a_signed_delivery_is_stored(api: Api, db: DictConnection) -> None:
    """An object that is pushed is a record by the time that 202 is answered."""
    add_connector(db)
    answer = await api.push("in", b'{"n": 1}')
    assert (answer.status, answer.body) == (202, {"positions": [1], "stored": 1})
    assert stored(db) == [(1, "msg_1", {"n": 1})]


async def test_the_same_delivery_twice_is_stored_once(api: Api, db: DictConnection) -> None:
    """A sender that tries again, at once or at the same time, gets the answer it missed."""
    add_connector(db)
    body = b'[{"n": 1}, {"n": 2}]'
    answers = await asyncio.gather(*(api.push("in", body) for _ in range(8)))
    await api.push("in", b"{}", signed(b"{}", "msg_2"))
    answers.append(await api.push("in", body))
    assert {(a.status, json.dumps(a.body)) for a in answers} == {(202, '{"positions": [1, 2], "stored": 2}')}
    assert [position for position, _, _ in stored(db)] == [1, 2, 3]


async def test_positions_come_in_the_order_of_the_items(api: Api, db: DictConnection) -> None:
    """Each item is answered its position, also one that was stored before or stands in the list twice."""
    add_connector(db, conn_id="token", verify="bearer", primary_key="id", data_selector="$.items")
    first = await api.push("in", b'{"items": [{"id": "b"}, {"id": "a"}]}', TOKEN)
    then = await api.push("in", b'{"items": [{"id": "c"}, {"id": "a"}, {"id": "c"}, {"id": "b"}]}', TOKEN)
    assert first.body == {"positions": [1, 2], "stored": 2}
    assert then.body == {"positions": [3, 2, 3, 1], "stored": 3}


async def test_an_empty_list_is_no_mistake(api: Api, db: DictConnection) -> None:
    """A sender with nothing new is thanked."""
    add_connector(db)
    answer = await api.push("in", b"[]")
    assert (answer.status, answer.body) == (202, {"positions": [], "stored": 0})


async def test_many_deliveries_at_once_leave_no_gaps(api: Api, db: DictConnection) -> None:
    """However many push at the same time, the log is numbered 1, 2, 3 and each is told its own position."""
    add_connector(db)
    bodies = [json.dumps({"n": n}).encode() for n in range(200)]
    answers = await asyncio.gather(*(api.push("in", body, signed(body, f"m{n}")) for n, body in enumerate(bodies)))
    told = {str(answer.body["positions"]): n for n, answer in enumerate(answers)}
    log = stored(db)
    assert [position for position, _, _ in log] == list(range(1, 201))
    assert {f"[{position}]": payload["n"] for position, _, payload in log} == told  # type: ignore[index]  # it is jsonb


async def test_each_way_to_verify_works_over_http(api: Api, db: DictConnection) -> None:
    """Signature, signed body and token are read from the headers as they come."""
    add_connector(db, "signed")
    add_connector(db, "github", verify="hmac")
    add_connector(db, "token", conn_id="token", verify="bearer")
    digest = hmac.new(SECRET.encode(), b"{}", "sha256").hexdigest()
    github = {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "g-1"}
    assert (await api.push("signed", b"{}")).status == 202
    assert (await api.push("github", b"{}", github)).status == 202
    assert (await api.push("token", b"{}", TOKEN | {"Idempotency-Key": "t-1"})).status == 202
    assert [key for _, key, _ in stored(db)] == ["msg_1", "g-1", "t-1"]


async def test_text_that_postgresql_cannot_store_is_replaced(api: Api, db: DictConnection) -> None:
    """NUL and half a surrogate pair do not stop a delivery."""
    add_connector(db)
    answer = await api.push("in", rb'{"a": "x\u0000y\ud800", "b": "\u00e4"}')
    assert answer.status == 202
    assert [payload["b"] for _, _, payload in stored(db)] == ["ä"]  # type: ignore[index]  # it is jsonb


@pytest.mark.parametrize("name", ["team/orders", "Aufträge der Woche", "100%"])
async def test_a_name_may_hold_anything(api: Api, db: DictConnection, name: str) -> None:
    """A connector's name is found in the path, slashes, blanks and all."""
    add_connector(db, name)
    assert (await api.push(name.replace("%", "%25").replace(" ", "%20"), b"{}")).status == 202


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        ("is_active = false", 300, 300),
        ("paused_until = now() + interval '90 seconds'", 80, 90),
        ("paused_until = now() + interval '9 days'", 300, 300),
    ],
)
async def test_a_paused_connector_asks_to_wait(
    api: Api, db: DictConnection, change: str, least: int, most: int
) -> None:
    """While a connector is paused its senders are told to come again, and nothing is stored."""
    add_connector(db)
    db.execute(f"update connector set {change}".encode())
    answer = await api.push("in", b"{}")
    assert (answer.status, problem(answer)) == (503, "the connector is paused: send it again later")
    assert least <= int(answer.headers["retry-after"]) <= most
    assert stored(db) == []


async def test_a_pause_ends_by_itself(api: Api, db: DictConnection) -> None:
    """A connector that was paused until a moment ago takes deliveries."""
    add_connector(db)
    db.execute("update connector set paused_until = now()")
    assert (await api.push("in", b"{}")).status == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_only_post_pushes(api: Api, db: DictConnection, method: str) -> None:
    """Any other method is a 405 that names the one there is."""
    add_connector(db)
    async with api.client.request(method, api.url("/hooks/in"), data=b"{}") as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/hooks", "/docs", "/openapi.json", "/redoc", "/hook/in"])
async def test_there_is_nothing_else(api: Api, path: str) -> None:
    """Every other path is a 404 in problem details, also for POST."""
    for method in ("GET", "POST"):
        async with api.client.request(method, api.url(path), allow_redirects=False) as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"nothing", 400, "the body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"a": NaN}', 400, "the body is not JSON: NaN is no number that can be stored"),
        (b"7", 400, "the body is neither an object nor a list: send an object or a list"),
        (b'[{"id": 1}, {}]', 422, "item 1, counted from 0, has no id, which is its primary key"),
    ],
)
async def test_a_refusal_says_why(api: Api, db: DictConnection, body: bytes, status: int, detail: str) -> None:
    """What is signed, and not taken, is answered with a reason and leaves nothing behind."""
    add_connector(db, primary_key="id")
    answer = await api.push("in", body)
    assert (answer.status, problem(answer)) == (status, detail)
    assert stored(db) == []


async def test_a_path_that_does_not_go_with_the_body_is_said(api: Api, db: DictConnection) -> None:
    """What can be found in one body and not in another refuses the other, and names the path."""
    add_connector(db, data_selector="$.items[\\n]")
    answer = await api.push("in", b'{"items": [{"n": 1}, {"n": "x"}]}')
    assert (answer.status, problem(answer)) == (422, "the path $.items[\\n] cannot be applied to the reply")


async def test_nothing_secret_is_answered_or_logged(
    api: Api, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the secret nor what was sent is in any answer or in the log."""
    caplog.set_level("DEBUG", logger="include")
    add_connector(db, primary_key="id")
    add_connector(db, "token", conn_id="token", verify="bearer")
    body = b'{"confidential": "contents"}'
    answers = [await api.push("in", part) for part in (body, b"confidential", b'{"id": "confidential"}')]
    answers += [await api.push("in", body, {**signed(body), "webhook-signature": "v1,confidential"})]
    answers += [await api.push("token", body, {"Authorization": "Bearer confidential"})]
    assert [answer.status for answer in answers] == [422, 400, 202, 401, 401]
    said = caplog.text + "".join(json.dumps([dict(answer.headers), answer.body]) for answer in answers)
    assert not [word for word in ("confidential", "contents", SECRET[6:], "a-token") if word in said]
