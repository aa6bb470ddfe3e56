"""Which connections the slack kind posts by: those of Airflow's Slack provider, read as the provider reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from include.actions._slack_connection import destination_of
from include.egress import Egress
from include.errors import ConfigError, RetryableError
from include.model import Call, Connection
from include.registry import action
from tests.fake_http import serving

TOKEN = "T0/B0/a-secret"
API = Connection("chat", type="slack", password="xoxb-a-secret")
HOOK = Connection("hook", type="slackwebhook", password=TOKEN)

READ: list[tuple[Connection, str, int | None]] = [
    (API, "https://slack.com/api/chat.postMessage", None),
    (replace(API, password=" xoxb-a-secret\n"), "https://slack.com/api/chat.postMessage", None),
    (replace(API, host="ignored.example.com"), "https://slack.com/api/chat.postMessage", None),
    (
        replace(API, extra={"base_url": "https://slack.example.com/api", "timeout": 7}),
        "https://slack.example.com/api/chat.postMessage",
        7,
    ),
    (
        replace(API, extra={"extra__slack__base_url": "http://slack.example.com/", "extra__slack__timeout": "8"}),
        "http://slack.example.com/chat.postMessage",
        8,
    ),
    (
        replace(API, extra={"base_url": "", "timeout": None, "proxy": "", "extra__slack__proxy": ""}),
        "https://slack.com/api/chat.postMessage",
        None,
    ),
    (HOOK, f"https://hooks.slack.com/services/{TOKEN}", None),
    (replace(HOOK, password=f" /{TOKEN}/\n"), f"https://hooks.slack.com/services/{TOKEN}", None),
    (
        replace(HOOK, password=f"https://hooks.example.com/x/{TOKEN} "),
        f"https://hooks.example.com/x/{TOKEN}",
        None,
    ),
    (replace(HOOK, host="hooks.example.com/x/", schema="http"), f"http://hooks.example.com/x/{TOKEN}", None),
    (replace(HOOK, host="http://hooks.example.com", schema="https"), f"http://hooks.example.com/{TOKEN}", None),
    (replace(HOOK, schema="http"), f"http://hooks.slack.com/services/{TOKEN}", None),
    (replace(HOOK, extra={"timeout": "9"}), f"https://hooks.slack.com/services/{TOKEN}", 9),
    (replace(HOOK, extra={"extra__slackwebhook__timeout": 3}), f"https://hooks.slack.com/services/{TOKEN}", 3),
    (replace(HOOK, extra={"timeout": 2.0}), f"https://hooks.slack.com/services/{TOKEN}", 2),
]


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


def call(egress: Egress, connection: Connection | None, **payload: Any) -> Call[Any]:
    config = action("slack").parse({"conn_id": "chat", "text": "hi", **payload})
    now = datetime.now(timezone.utc)
    return Call(config, "job_1_0", now, attempt=1, timeout_seconds=10, http=egress, connection=connection)


@pytest.mark.parametrize(("connection", "url", "timeout"), READ)
def test_a_connection_leads_to_where_it_is_meant_to(connection: Connection, url: str, timeout: int | None) -> None:
    """Token, URL and time-out are where the provider has them; what is not written is Slack's own."""
    to = destination_of(connection)
    token = {"authorization": "Bearer xoxb-a-secret"} if connection.type == "slack" else {}
    assert (to.url, dict(to.headers), to.timeout_seconds) == (url, token, timeout)
    assert "a-secret" not in repr(to)


@pytest.mark.e2e
@pytest.mark.parametrize(("connection", "url", "timeout"), READ)
def test_the_provider_reads_a_connection_in_the_same_way(connection: Connection, url: str, timeout: int | None) -> None:
    """The clients that Airflow's hooks would make call the same URL with the same token and time-out."""
    from airflow.providers.slack.hooks.slack import SlackHook
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
    from airflow.sdk import Connection as AirflowConnection
    from slack_sdk import WebClient

    theirs = AirflowConnection(
        conn_id=connection.id,
        conn_type=str(connection.type),
        host=connection.host,
        schema=connection.schema,
        password=connection.password,
        extra=json.dumps(dict(connection.extra)),
    )
    if connection.type == "slack":
        read = SlackHook(slack_conn_id=connection.id)._get_conn_params(theirs)
        client = WebClient(**read)
        assert f"{client.base_url}chat.postMessage" == url
        assert {"authorization": f"Bearer {client.token}"} == destination_of(connection).headers
    else:
        read = SlackWebhookHook(slack_webhook_conn_id=connection.id)._build_conn_params(theirs)
        assert read["url"] == url
    assert (read.get("timeout"), read.get("proxy")) == (timeout, None)


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (replace(API, type="http"), "'chat' is of type 'http': write one of type slack or slackwebhook"),
        (replace(API, type=None), "'chat' is of type None: write one of type slack or slackwebhook"),
        (replace(API, password=None), "'chat': write Slack's token as its password, in one line"),
        (replace(API, password=" "), "'chat': write Slack's token as its password, in one line"),
        (replace(API, password="xoxb-a-secret\r\nHost: x"), "'chat': write Slack's token as its password, in one line"),
        (replace(API, extra={"base_url": "a-secret.example.com"}), "write extra.base_url, with https:// before it"),
        (replace(API, extra={"timeout": "soon"}), "'chat': write extra.timeout as whole seconds, 1 or more"),
        (replace(API, extra={"timeout": 0}), "'chat': write extra.timeout as whole seconds, 1 or more"),
        (replace(API, extra={"proxy": "http://a-secret:3128"}), "'chat': leave out extra.proxy: calls take no proxy"),
        (replace(HOOK, password=None), "'hook': write Slack's token as its password, in one line"),
        (replace(HOOK, password="ftp://example.com/a-secret"), "write the webhook's whole URL as its password"),
        (replace(HOOK, host="u:a-secret@example.com"), "write the webhook's whole URL as its password"),
    ],
)
async def test_a_connection_that_cannot_be_used_says_what_to_write(
    egress: Egress, connection: Connection, reason: str
) -> None:
    """The error names the connection and the remedy, and nothing that the connection holds."""
    with pytest.raises(ConfigError, match=reason) as caught:
        await action("slack").act(call(egress, connection, channel="C1"))
    assert "a-secret" not in str(caught.value)


async def test_the_api_needs_a_channel(egress: Egress) -> None:
    """A webhook has its channel; with a token of the API somebody has to say which, and nothing is sent before."""
    with pytest.raises(ConfigError, match="write a channel: connection 'chat' is one of Slack's API"):
        await action("slack").act(call(egress, API))


async def test_a_connection_that_nobody_found_is_named(egress: Egress) -> None:
    """Where there is no connection to post by, that is what the error says."""
    with pytest.raises(ConfigError, match="connection 'chat' is not there"):
        await action("slack").act(call(egress, None))


async def test_the_connections_timeout_counts_where_it_is_the_shorter(egress: Egress) -> None:
    """A connection can give Slack less time than the row does, and the attempt can then be made again."""

    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("nothing ends this wait")

    async with serving(never) as server:
        slow = replace(API, extra={"base_url": server.url("/"), "timeout": 1})
        with pytest.raises(RetryableError, match="timed out after 1 s"):
            await action("slack").act(call(egress, slow, channel="C1"))
        with pytest.raises(RetryableError, match=r"timed out after 0\.01 s"):
            await action("slack").act(replace(call(egress, slow, channel="C1"), timeout_seconds=0.01))
