"""Post a JSON body to a URL, as Standard Webhooks 1.0.0 lays down.

Every attempt at the same occurrence carries the same `webhook-id`, which is what the receiver deduplicates by. A
redirect is a failure: whoever moves a webhook says so to its owner.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue

from include import model
from include.actions._fields import Url, WebhookHeaders, has, to_json
from include.actions._verdict import judge
from include.model import Call, Output

# What a workflow that does not say what to post puts the record into.
RECORD_FIELD = "body"


def _check_body(value: object) -> object:
    if not isinstance(value, (dict, list, str)):
        raise ValueError("write an object, a list or a text")
    return value


Body = Annotated[dict[str, JsonValue] | list[JsonValue] | str, BeforeValidator(_check_body)]


class Config(model.Config):
    url: Url = Field(description="Where to post.")
    body: Body = Field(default_factory=dict, description="What to post: an object or a list as JSON, a text as it is.")
    headers: WebhookHeaders = Field(default_factory=dict, description="Further headers to send, by name.")


async def act(call: Call[Config]) -> Output:
    """Return what came back if its status is 2xx."""
    config = call.config
    now = datetime.now(timezone.utc)
    headers = dict(config.headers)
    if not has(headers, "content-type"):
        headers["content-type"] = "application/json"
    headers["webhook-id"] = call.key
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    body = config.body if isinstance(config.body, str) else to_json(config.body)
    reply = await call.http.request(
        "POST",
        config.url,
        headers=headers,
        body=body.encode(),
        timeout_seconds=call.timeout_seconds,
        follow_redirects=False,
    )
    return judge(reply, "POST", datetime.now(timezone.utc))
