"""Call a URL with a JSON body, as Standard Webhooks 1.0.0 lays down; signed, if a connection holds the secret.

Every attempt at the same occurrence carries the same `webhook-id`, which is what the receiver deduplicates by, and its
own `webhook-timestamp`. A redirect is a failure: whoever moves a webhook says so to its owner.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from include import model
from include.actions._fields import Url, WebhookHeaders, has, to_json
from include.actions._verdict import judge
from include.model import Call, Output
from include.webhook_signature import keys_of, signature

# What a workflow that does not say what to post puts the record into.
RECORD_FIELD = "body"
CONF_FIELDS = ("body",)

# What is posted to tell somebody of failures, where a notify does not say what.
NOTICE = {
    "body": {
        "type": "millrace.notices",
        "timestamp": "{{ at }}",
        "data": {
            "summary": "{{ summary }}",
            "counts": "{{ counts }}",
            "notices": "{{ notices }}",
            "more": "{{ more }}",
        },
    }
}


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _check_body(value: object) -> object:
    if value is not None and not isinstance(value, (dict, list, str)):
        raise ValueError("write an object, a list or a text")
    return value


Method = Annotated[Literal["POST", "GET", "PUT", "PATCH", "DELETE"], BeforeValidator(_upper)]
Body = Annotated[dict[str, JsonValue] | list[JsonValue] | str | None, BeforeValidator(_check_body)]


class Config(model.Config):
    url: Url = Field(description="What to call.")
    method: Method = Field(default="POST", description="The method, in upper or lower case.")
    body: Body = Field(
        default=None,
        description="What to send: an object or a list as JSON, a text as it is. Without it a POST sends an empty "
        "object; the other methods then send no body, nor with null.",
    )
    headers: WebhookHeaders = Field(default_factory=dict, description="Further headers to send, by name.")
    conn_id: str | None = Field(
        default=None,
        min_length=1,
        description="The Airflow connection whose password is the secret to sign with: whsec_ and base64. While it is "
        "being changed, several: separated by blanks, or as a list `secrets` in its extra; each of them signs.",
    )

    @model_validator(mode="after")
    def _something_to_post(self) -> Config:
        # Or a template that finds nothing would post an empty object in silence.
        if self.method == "POST" and self.body is None and "body" in self.model_fields_set:
            raise ValueError("body is null: write an object, a list or a text, or another method")
        return self

    def content(self) -> bytes | None:
        """The body as it is sent, if there is one."""
        if self.body is None:
            return b"{}" if self.method == "POST" else None
        return (self.body if isinstance(self.body, str) else to_json(self.body)).encode()


async def act(call: Call[Config]) -> Output:
    """Return what came back if its status is 2xx; `ConfigError` if the connection holds no secret that can sign."""
    config = call.config
    body = config.content()
    headers = dict(config.headers)
    if body is not None and not has(headers, "content-type"):
        headers["content-type"] = "application/json"
    headers["webhook-id"] = call.key
    headers["webhook-timestamp"] = str(int(datetime.now(timezone.utc).timestamp()))
    if config.conn_id is not None:
        message = call.key.encode(), headers["webhook-timestamp"].encode(), body or b""
        signatures = [signature(key, *message) for key in keys_of(call.connection)]
        headers["webhook-signature"] = b" ".join(signatures).decode()
    reply = await call.http.request(
        config.method,
        config.url,
        headers=headers,
        body=body,
        timeout_seconds=call.timeout_seconds,
        follow_redirects=False,
    )
    return judge(reply, config.method, datetime.now(timezone.utc))
