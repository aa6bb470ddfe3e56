"""What the slack kind posts, and what it makes of Slack's answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from include.egress import Egress
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Connection, Output
from include.registry import action
from tests.fake_http import Handler, redirect, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
TOKEN = "xoxb-a-token"
SECRET_PATH = "/services/T0/B0/a-secret"
BLOCK = {"type": "section", "text": {"type": "mrkdwn", "text": "*ü*"}, "accessory": None}
MESSAGE = {
    "text": "ü & <b>",
    "blocks": [BLOCK],
    "attachments": [{"color": "#ff0000", "text": "red"}],
    "thread_ts": "1700000000.000100",
    "reply_broadcast": False,
    "username": "Millrace",
    "icon_emoji": ":wave:",
    "icon_url": "https://example.com/icon.png",
    "unfurl_links": False,
    "unfurl_media": True,
}


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


async def slack(request: web.Request) -> web.StreamResponse:
    """The Web API's chat.postMessage, as far as it can be told from outside."""
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({"ok": False, "error": "invalid_auth"})
    if request.method != "POST" or request.content_type != "application/json" or request.charset != "utf-8":
        return web.json_response({"ok": False, "error": "invalid_post_type"})
    message = await request.json()
    if not message.get("text") and not message.get("blocks"):
        return web.json_response({"ok": False, "error": "no_text"})
    if message.get("channel") != "C123":
        return web.json_response({"ok": False, "error": "channel_not_found"})
    return web.json_response({"ok": True, "channel": "C123", "ts": "1700000000.000200", "message": message})


async def incoming_webhook(request: web.Request) -> web.StreamResponse:
    """An incoming webhook: one URL, whose path is the secret."""
    if request.path != SECRET_PATH:
        return web.Response(status=404, text="no_service")
    try:
        message = await request.json()
    except ValueError:
        return web.Response(status=400, text="invalid_payload")
    return web.Response(text="ok") if message.get("text") else web.Response(status=400, text="no_text")


def always(status: int, text: str, **headers: str) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return handle


async def run(egress: Egress, payload: dict[str, Any], connection: Connection | None = None) -> Output:
    found = action("slack")
    named = {} if connection is None else {"conn_id": connection.id}
    config = found.parse({**named, **payload})
    return await found.act(Call(config, "job_1_0", NOW, 1, 10, egress, connection))


def api(base_url: str, token: str = TOKEN) -> Connection:
    return Connection("chat", type="slack", password=token, extra={"base_url": base_url})


# -- what is posted ----------------------------------------------------------------------------------------------------


async def test_by_the_api_a_message_arrives_as_slacks_own_client_sends_it(egress: Egress) -> None:
    """Same path, token and JSON as from slack_sdk; the output says where the message is."""
    async with serving(slack) as server:
        output = await run(egress, {"channel": "C123", **MESSAGE}, api(server.url("/api/")))
        await AsyncWebClient(TOKEN, server.url("/api/")).chat_postMessage(channel="C123", **MESSAGE)
        ours, theirs = server.received
    assert (ours.method, ours.path, json.loads(ours.body)) == ("POST", "/api/chat.postMessage", json.loads(theirs.body))
    assert (theirs.method, theirs.path) == (ours.method, ours.path)
    assert ours.headers["authorization"] == theirs.headers["authorization"] == f"Bearer {TOKEN}"
    assert output.line == f"POST 127.0.0.1:{server.port} 200"
    assert (output.code, output.data) == (200, {"channel": "C123", "ts": "1700000000.000200"})


@pytest.mark.parametrize("by", ["connection", "url"])
async def test_by_an_incoming_webhook_a_message_arrives_as_slacks_own_client_sends_it(egress: Egress, by: str) -> None:
    """The URL is all that is needed, out of the row or out of a connection; no other proof is sent."""
    async with serving(incoming_webhook) as server:
        url = server.url(SECRET_PATH)
        if by == "url":
            output = await run(egress, {"url": url, "text": "hi", "blocks": [BLOCK]})
        else:
            connection = Connection("hook", type="slackwebhook", password=url)
            output = await run(egress, {"text": "hi", "blocks": [BLOCK]}, connection)
        await AsyncWebhookClient(url).send(text="hi", blocks=[BLOCK])
        ours, theirs = server.received
    assert (ours.method, ours.path) == (theirs.method, theirs.path) == ("POST", SECRET_PATH)
    assert json.loads(ours.body) == json.loads(theirs.body) == {"text": "hi", "blocks": [BLOCK]}
    assert "authorization" not in ours.headers
    assert (output.code, output.excerpt, output.data) == (200, "ok", {})


async def test_a_long_message_is_read_back_whole(egress: Egress) -> None:
    """The API repeats what was posted; a reply as long as the longest message is still a success."""
    async with serving(slack) as server:
        output = await run(egress, {"channel": "C123", "text": "x" * 200_000}, api(server.url("/api")))
    assert output.data["ts"] == "1700000000.000200"


async def test_neither_token_nor_message_follow_a_redirect(egress: Egress) -> None:
    """A redirect is a failure for good, and its target hears nothing."""
    async with serving({"/api/chat.postMessage": redirect("/elsewhere", 307), "/elsewhere": slack}) as server:
        with pytest.raises(PermanentError, match="307: the redirect is not followed"):
            await run(egress, {"channel": "C123", "text": "hi"}, api(server.url("/api/")))
        assert [request.path for request in server.received] == ["/api/chat.postMessage"]


# -- what Slack answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "token", "message"),
    [
        ({"channel": "C123"}, "xoxb-wrong", "200: invalid_auth: write a valid token as the connection's password$"),
        ({"channel": "C9"}, TOKEN, "200: channel_not_found: write the channel's id; if it is private, invite the app"),
    ],
)
async def test_what_the_api_refuses_is_told_with_the_remedy(
    egress: Egress, payload: dict[str, Any], token: str, message: str
) -> None:
    """Slack's word and what to do about it are in the error, the token is not, and there is no other attempt."""
    async with serving(slack) as server:
        with pytest.raises(PermanentError, match=message) as caught:
            await run(egress, {"text": "hi", **payload}, api(server.url("/api/"), token))
    assert caught.value.code == 200
    assert caught.value.excerpt is not None
    assert '"ok": false' in caught.value.excerpt
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
    ],
)
async def test_what_slack_cannot_do_now_is_retried(egress: Egress, word: str) -> None:
    """A transient error in a 200 is worth another attempt, after the wait that Slack asks for."""
    refusal = always(200, json.dumps({"ok": False, "error": word}), **{"Retry-After": "17"})
    async with serving(refusal) as server:
        with pytest.raises(RetryableError, match=f"200: {word}$") as caught:
            await run(egress, {"channel": "C123", "text": "hi"}, api(server.url("/api/")))
    assert caught.value.after_seconds == 17


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_that_says_not_now_is_retried(egress: Egress, status: int) -> None:
    """As for every kind that speaks HTTP, `Retry-After` included."""
    busy = always(status, '{"ok": false, "error": "ratelimited"}', **{"Retry-After": "30"})
    async with serving(busy) as server:
        with pytest.raises(RetryableError, match=f" {status}$") as caught:
            await run(egress, {"channel": "C123", "text": "hi"}, api(server.url("/api/")))
    assert (caught.value.code, caught.value.after_seconds) == (status, 30)


@pytest.mark.parametrize(
    ("status", "word", "remedy"),
    [
        (400, "invalid_payload", "mend the blocks or the attachments"),
        (403, "action_prohibited", "the workspace does not allow it: ask an administrator"),
        (404, "no_service", "the webhook is gone: make a new one, and write its URL"),
        (410, "channel_is_archived", "write another channel, or restore this one"),
        (400, "something_new", None),
        (200, "invalid_payload", "mend the blocks or the attachments"),
    ],
)
async def test_what_a_webhook_refuses_is_told_with_the_remedy(
    egress: Egress, status: int, word: str, remedy: str | None
) -> None:
    """Whatever the status is, only `ok` is success; the error has the status, the word, the remedy and no path."""
    async with serving(always(status, word)) as server:
        with pytest.raises(PermanentError) as caught:
            await run(egress, {"url": server.url(SECRET_PATH), "text": "hi"})
    assert str(caught.value) == f"POST 127.0.0.1:{server.port} {status}: {word}" + (f": {remedy}" if remedy else "")
    assert (caught.value.code, caught.value.excerpt) == (status, word)


@pytest.mark.parametrize(
    "body", ["<html>Sign in</html>", "", "[]", '"ok"', "{}", '{"ok": 1}', "[" * 100_000, '{"error": "a b"}', "ok?"]
)
async def test_a_page_that_is_not_slacks_is_no_success(egress: Egress, body: str) -> None:
    """A 200 from somebody else posts nothing, so it fails, and says what to look at."""
    async with serving(always(200, body)) as server:
        with pytest.raises(PermanentError, match="the reply is not one of Slack's; check the URL"):
            await run(egress, {"url": server.url(SECRET_PATH), "text": "hi"})


async def test_a_404_that_is_not_slacks_is_told_as_it_is(egress: Egress) -> None:
    """Where the body is no word of Slack's, the error is that of every kind that speaks HTTP."""
    async with serving(always(404, "<html>not found</html>")) as server:
        with pytest.raises(PermanentError, match=r" 404$"):
            await run(egress, {"url": server.url(SECRET_PATH), "text": "hi"})


async def test_what_the_reply_holds_can_be_stored(egress: Egress) -> None:
    """Of a strange reply nothing gets into the output that the ledger could not keep."""
    odd = json.dumps({"ok": True, "ts": "1\x00", "channel": ["C1"]})
    async with serving(always(200, odd)) as server:
        output = await run(egress, {"url": server.url(), "text": "hi"})
    assert output.data == {}


# -- payloads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"text": "hi"}, "write conn_id or url, one of them"),
        ({"text": "hi", "conn_id": "chat", "url": "https://example.com"}, "write conn_id or url, one of them"),
        ({"conn_id": "chat", "channel": "C1"}, "write text or blocks"),
        ({"conn_id": "chat", "attachments": [{}]}, "write text or blocks"),
        ({"conn_id": "chat", "text": ""}, "text: "),
        ({"conn_id": "chat", "blocks": []}, "blocks: "),
        ({"conn_id": "chat", "blocks": [{}] * 51}, "blocks: .*50"),
        ({"conn_id": "chat", "blocks": {"type": "section"}}, "blocks: "),
        ({"conn_id": "", "text": "hi"}, "conn_id: "),
        ({"url": "hooks.slack.com/services/x", "text": "hi"}, "url: .*http:// or https://"),
        ({"conn_id": "chat", "text": "hi", "token": "xoxb"}, "token: Extra inputs"),
        ({"conn_id": "chat", "text": "hi", "chanel": "C1"}, "chanel: Extra inputs"),
    ],
)
def test_a_payload_that_does_not_fit_says_what_to_write(payload: dict[str, Any], message: str) -> None:
    """A wrong payload is refused before any call, by the field's name and with the remedy."""
    with pytest.raises(ConfigError, match=message):
        action("slack").parse(payload)


def test_the_kind_describes_itself() -> None:
    """It has a one-line summary, and explains every field; also that a URL in a row is no secret."""
    found = action("slack")
    fields = found.config.model_json_schema()["properties"]
    assert (found.summary[-1], found.runs_on, found.record_field) == (".", "triggerer", None)
    assert all(field.get("description") for field in fields.values())
    assert "visible to whoever reads the row" in fields["url"]["description"]
