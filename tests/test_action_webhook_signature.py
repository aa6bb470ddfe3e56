"""What the webhook kind signs is genuine to whoever verifies by the standard; and its methods."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from include.connectors.webhook import receive
from include.egress import Egress
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Connection, Delivery, Output
from include.registry import action, source
from tests.fake_http import Received, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
KEY = "job_7_1772366400000000"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
STRANGER = "whsec_" + base64.b64encode(b"nobody's key of thirty-two bytes").decode()
BODIES = [{"a": "ü", "b": [1, None]}, ["x"], "raw text", "", None]


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


def held(password: str | None = SECRET, **extra: object) -> Connection:
    return Connection("partner", password=password, extra=extra)


def a_call(egress: Egress, payload: dict[str, Any], connection: Connection | None) -> Call[Any]:
    settings = action("webhook").parse(payload)
    return Call(settings, KEY, NOW, attempt=1, timeout_seconds=10, http=egress, connection=connection)


async def run(call: Call[Any]) -> Output:
    return await action("webhook").act(call)


async def sent(egress: Egress, connection: Connection | None, **payload: Any) -> Received:
    """The request as it arrives; signed, unless there is no connection."""
    named = {} if connection is None else {"conn_id": connection.id}
    async with serving() as server:
        await run(a_call(egress, {"url": server.url("/hook"), **named, **payload}, connection))
        [request] = server.received
    return request


async def delivered(request: Received, secret: str) -> None:
    """Give a request to our own receiving side, as it was on the wire."""
    settings = source("webhook").parse({"conn_id": "hooks"})
    headers = {name: value.encode().decode("latin-1") for name, value in request.headers.items()}
    got = await receive(
        Delivery(settings, headers, request.body, Connection("hooks", password=secret), datetime.now(timezone.utc))
    )
    assert got.id == KEY


# -- signatures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES)
async def test_the_reference_library_accepts_what_is_signed(egress: Egress, body: Any) -> None:
    """Whatever the body is, its signature is one of Standard Webhooks, and fits no other body, id or time."""
    request = await sent(egress, held(), **({} if body is None else {"body": body}))
    judge = Webhook(SECRET)
    judge.verify(request.body, request.headers, json_parse=False)
    changes: list[tuple[bytes, dict[str, str]]] = [
        (request.body + b" ", {}),
        (request.body, {"webhook-id": "job_8"}),
        (request.body, {"webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 1)}),
    ]
    for changed, headers in changes:
        with pytest.raises(WebhookVerificationError):
            judge.verify(changed, request.headers | headers, json_parse=False)


async def test_our_own_connector_accepts_what_is_signed(egress: Egress) -> None:
    """One Millrace can push records to another."""
    await delivered(await sent(egress, held(), body={"order": "ü"}), SECRET)


@pytest.mark.parametrize(
    "connection",
    [held(f"{SECRET}  {OTHER}\n"), held(SECRET, secrets=[OTHER]), held(None, secrets=[SECRET, OTHER])],
    ids=["in the password", "in both", "in the extra"],
)
async def test_while_a_secret_is_changed_receivers_may_have_either(egress: Egress, connection: Connection) -> None:
    """Every secret signs, separated by blanks: who knows one of them accepts the call, who knows neither does not."""
    request = await sent(egress, connection, body={"a": 1})
    assert [spelt[:3] for spelt in request.headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(request.body, request.headers)
        await delivered(request, secret)
    with pytest.raises(WebhookVerificationError):
        Webhook(STRANGER).verify(request.body, request.headers)


async def test_a_secret_may_lack_its_prefix_and_its_padding(egress: Egress) -> None:
    """What decoders of base64 make of a secret elsewhere, they make of it here."""
    bare = OTHER.removeprefix("whsec_").rstrip("=")
    request = await sent(egress, held(bare))
    Webhook(OTHER).verify(request.body, request.headers)


async def test_each_attempt_signs_its_own_time(egress: Egress) -> None:
    """A retry is genuine however long after the first attempt it is: same id, its own time and signature."""

    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with serving(busy) as server:
        call = a_call(egress, {"url": server.url(), "conn_id": "partner"}, held())
        for number in (1, 2):
            with pytest.raises(RetryableError):
                await run(replace(call, attempt=number))
            await asyncio.sleep(1.01 * (number == 1))  # times are in whole seconds
        first, second = server.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == KEY
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert second.headers["webhook-signature"] != first.headers["webhook-signature"]
    for request in (first, second):
        Webhook(SECRET).verify(request.body, request.headers)


async def test_without_a_connection_nothing_is_signed(egress: Egress) -> None:
    """A call without conn_id has its id and its time, and no signature."""
    before = int(time.time())
    request = await sent(egress, None)
    assert before <= int(request.headers["webhook-timestamp"]) <= int(time.time())
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (None, "name it as conn_id"),
        (held(None), "'partner' has no secret: write it as its password"),
        (held("  "), "'partner' has no secret: write it as its password"),
        (held("whsec_not base64!"), "is whsec_ and base64; write such a one as its password"),
        (held("whsec_"), "is whsec_ and base64; write such a one as its password"),
        (held(SECRET, secrets="another"), "'partner': write extra.secrets as a list of texts"),
        (held(SECRET, secrets=["täst"]), "is whsec_ and base64; write such a one as its password"),
    ],
)
async def test_a_connection_that_cannot_sign_is_named_and_nothing_is_sent(
    egress: Egress, connection: Connection | None, reason: str
) -> None:
    """An unsigned call is never sent in place of a signed one, and the error says what to put where, and no secret."""
    async with serving() as server:
        call = a_call(egress, {"url": server.url(), "conn_id": "partner"}, connection)
        with pytest.raises(ConfigError, match=reason) as caught:
            await run(call)
        assert server.received == []
    assert SECRET not in str(caught.value)
    assert "not base64!" not in str(caught.value)


# -- methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [{"a": 1}, None], ids=["body", "no body"])
async def test_any_method_is_signed_and_has_the_body_it_is_given(egress: Egress, method: str, body: object) -> None:
    """Without a body only a POST sends one, the empty object; where there is none, nothing says what type it has."""
    request = await sent(egress, held(), method=method.lower(), **({} if body is None else {"body": body}))
    expected = b'{"a":1}' if body else b"{}" if method == "POST" else b""
    assert (request.method, request.body) == (method, expected)
    assert request.headers.get("content-type") == ("application/json" if expected else None)
    assert request.headers["webhook-id"] == KEY
    Webhook(SECRET).verify(request.body, request.headers, json_parse=False)


async def test_null_is_no_body(egress: Egress) -> None:
    """A workflow whose calls are to be without a body says so by null, except for a POST."""
    assert (await sent(egress, None, method="DELETE", body=None)).body == b""
    with pytest.raises(ConfigError, match="body is null: write an object, a list or a text"):
        action("webhook").parse({"url": "https://example.com", "body": None})


async def test_the_verdict_names_the_method(egress: Egress) -> None:
    """What is logged of a call says what was called how."""

    async def gone(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=410)

    async with serving(gone) as server:
        with pytest.raises(PermanentError, match=f"^DELETE 127.0.0.1:{server.port} 410$") as caught:
            await run(a_call(egress, {"url": server.url(), "method": "DELETE"}, None))
    assert caught.value.code == 410


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"method": "HEAD"}, "method: .*'POST'"),
        ({"method": 1}, "method: .*'POST'"),
        ({"conn_id": ""}, "conn_id: "),
        ({"headers": {"Webhook-Signature": "v1,x"}}, "leave out Webhook-Signature"),
    ],
)
def test_what_cannot_be_sent_is_refused(setting: dict[str, Any], message: str) -> None:
    """A wrong setting is refused before any call, by its name."""
    with pytest.raises(ConfigError, match=message):
        action("webhook").parse({"url": "https://example.com", **setting})
