"""Post a message to Slack, by an Airflow connection or by the URL of an incoming webhook.

Slack does not recognise a message that comes twice, so a retry after a lost reply may post it again; a job's delivery
`at_most_once` leaves that retry out.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import Field, JsonValue, model_validator

from include import model
from include.actions._fields import Url, to_json
from include.actions._slack_connection import Destination, destination_of
from include.actions._slack_verdict import judge_slack
from include.egress import parse_url
from include.errors import ConfigError
from include.model import Call, Output

_REPLY_CAP = 1024 * 1024  # the API's reply repeats the message

_FOR_THE_API = "An incoming webhook of an app ignores it."

Blocks = Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=50)]
Attachments = Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=100)]


# What is posted to tell somebody of failures, where a notify does not say what.
NOTICE = {"text": "{{ text }}"}
CONF_FIELDS = ("text", "blocks", "attachments")


class Config(model.Config):
    conn_id: str | None = Field(
        default=None,
        min_length=1,
        description="The Airflow connection to post by: type slack, whose password is an app's token; or slackwebhook, "
        "whose password is an incoming webhook's.",
    )
    url: Url | None = Field(
        default=None,
        description="The URL of an incoming webhook, instead of conn_id. Who knows it can post, and a URL in a row is "
        "visible to whoever reads the row; what is in a connection is not.",
    )
    channel: str | None = Field(
        default=None,
        min_length=1,
        description="The id of a channel or of a person, or #name; needed with a connection of type slack. "
        + _FOR_THE_API,
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        description="The message, in Slack's mrkdwn; where there are blocks, what notifications show of them.",
    )
    blocks: Blocks | None = Field(default=None, description="The message as blocks of Slack's Block Kit.")
    attachments: Attachments | None = Field(default=None, description="Attachments, beside text or blocks.")
    thread_ts: str | None = Field(default=None, min_length=1, description="The `ts` of the message to reply to.")
    reply_broadcast: bool | None = Field(default=None, description="Show a reply in the channel as well.")
    username: str | None = Field(default=None, min_length=1, description=f"The name to post under. {_FOR_THE_API}")
    icon_emoji: str | None = Field(
        default=None, min_length=1, description=f"An emoji beside the name, such as :warning:. {_FOR_THE_API}"
    )
    icon_url: Url | None = Field(default=None, description=f"An image beside the name. {_FOR_THE_API}")
    unfurl_links: bool | None = Field(default=None, description="Show previews of pages that the text links to.")
    unfurl_media: bool | None = Field(default=None, description="Show previews of images and the like.")

    @model_validator(mode="after")
    def _can_be_posted(self) -> Config:
        if (self.conn_id is None) == (self.url is None):
            raise ValueError("write conn_id or url, one of them")
        if self.text is None and self.blocks is None:
            raise ValueError("write text or blocks")
        return self

    def message(self) -> dict[str, Any]:
        """What is posted, with the names of Slack's chat.postMessage."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name not in ("conn_id", "url")}
        return {name: value for name, value in fields.items() if value is not None}


async def act(call: Call[Config]) -> Output:
    """Return where the message is; `ConfigError` if the connection cannot be used."""
    config = call.config
    to = _destination(config, call.connection)
    # Whoever knows the rest of a webhook's URL can post.
    call.sent.update(method="POST", url=f"{parse_url(to.url).origin()}/***")
    if config.channel is not None:
        call.sent["channel"] = config.channel
    reply = await call.http.request(
        "POST",
        to.url,
        headers={"content-type": "application/json; charset=utf-8", **to.headers},
        body=to_json(config.message()).encode(),
        timeout_seconds=min(call.timeout_seconds, to.timeout_seconds or call.timeout_seconds),
        follow_redirects=False,  # whoever is redirected to would get the token and the message
        body_cap=_REPLY_CAP,
    )
    return judge_slack(reply, datetime.now(timezone.utc))


def _destination(config: Config, connection: model.Connection | None) -> Destination:
    if config.url is not None:
        return Destination(config.url)
    if connection is None:
        raise ConfigError(f"connection {config.conn_id!r} is not there to post by")
    found = destination_of(connection)
    if found.needs_channel and config.channel is None:
        raise ConfigError(f"write a channel: connection {connection.id!r} is one of Slack's API, which needs it")
    return found
