"""Where an Airflow connection of Slack's leads to, and what to prove there: as Airflow's own Slack provider reads it.

Type `slack` (Slack API) has an app's token as its password; `base_url` and `timeout` in the extra are optional. Type
`slackwebhook` (Slack Incoming Webhook) has the webhook's token or its whole URL as its password; host, schema and
`timeout` are optional. Old spellings of the extra, such as `extra__slack__timeout`, count as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.egress import parse_url
from include.errors import ConfigError
from include.model import Connection

_API = "https://slack.com/api/"
_WEBHOOKS = "hooks.slack.com/services"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to post, with which headers, and how long that may take at most, if anything says so."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: int | None = None
    needs_channel: bool = False


def destination_of(connection: Connection) -> Destination:
    """What the connection stands for; `ConfigError` says what it lacks, without what it holds."""
    if connection.type not in ("slack", "slackwebhook"):
        raise ConfigError(
            f"connection {connection.id!r} is of type {connection.type!r}: write one of type slack or slackwebhook"
        )
    if _extra(connection, "proxy") is not None:
        raise ConfigError(f"connection {connection.id!r}: leave out extra.proxy: calls take no proxy")
    token = (connection.password or "").strip()
    if not token or not token.isprintable():
        raise ConfigError(f"connection {connection.id!r}: write Slack's token as its password, in one line")
    timeout = _timeout_seconds(connection)
    if connection.type == "slackwebhook":
        return Destination(_checked(_webhook_url(connection, token), connection), timeout_seconds=timeout)
    base_url = str(_extra(connection, "base_url") or _API)
    url = _checked(f"{base_url.removesuffix('/')}/chat.postMessage", connection)
    return Destination(url, {"authorization": f"Bearer {token}"}, timeout, needs_channel=True)


def _webhook_url(connection: Connection, token: str) -> str:
    if "://" in token:
        return token
    host = connection.host or _WEBHOOKS
    start = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    return f"{start.rstrip('/')}/{token.lstrip('/')}".rstrip("/")


def _checked(url: str, connection: Connection) -> str:
    try:
        parse_url(url)
    except ValueError:
        what = "extra.base_url" if connection.type == "slack" else "the webhook's whole URL as its password"
        raise ConfigError(
            f"connection {connection.id!r} leads to no URL that can be called: write {what}, with https:// before it"
        ) from None
    return url


def _timeout_seconds(connection: Connection) -> int | None:
    timeout: Any = _extra(connection, "timeout")
    if timeout is None:
        return None
    try:
        seconds = int(timeout)
    except (ValueError, TypeError, OverflowError):
        seconds = 0
    if seconds < 1:
        raise ConfigError(f"connection {connection.id!r}: write extra.timeout as whole seconds, 1 or more")
    return seconds


def _extra(connection: Connection, name: str) -> object:
    """What the extra has under a name, or under that of forms in old versions of Airflow; blank is nothing."""
    for spelling in (name, f"extra__{connection.type}__{name}"):
        if connection.extra.get(spelling) not in (None, ""):
            return connection.extra[spelling]
    return None
