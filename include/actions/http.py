"""Send an HTTP request of any method, with headers, query parameters and a body.

Redirects are followed. Any 2xx is success. Every attempt of a method other than GET carries the same
`idempotency-key`, so that a receiver that knows the header does the work once.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat, JsonValue, model_validator

from include import model
from include.actions._fields import Headers, Url, has, to_json
from include.actions._verdict import judge
from include.model import Call, Output


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _check_param(value: object) -> object:
    if not isinstance(value, (str, bool, int, float)):
        raise ValueError("write a text, a number, true or false")
    return value


Method = Annotated[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], BeforeValidator(_upper)]
Param = Annotated[str | bool | int | FiniteFloat, BeforeValidator(_check_param)]


class Config(model.Config):
    # `json` is taken by pydantic, so the field has another name in Python; rows and the schema say `json`.
    model_config = ConfigDict(serialize_by_alias=True)

    url: Url = Field(description="Where to send the request.")
    method: Method = Field(default="GET", description="The method, in upper or lower case.")
    headers: Headers = Field(default_factory=dict, description="Headers to send, by name.")
    params: dict[str, Param] = Field(default_factory=dict, description="Query parameters, added to those of the URL.")
    json_body: JsonValue = Field(default=None, alias="json", description="A body to send as JSON.")
    text: str | None = Field(default=None, description="A body to send as it is, in UTF-8.")

    @model_validator(mode="after")
    def _one_body(self) -> Config:
        if self.text is not None and "json_body" in self.model_fields_set:
            raise ValueError("write json or text, not both")
        return self

    def body(self) -> tuple[bytes | None, str]:
        """The body, and the content type that says what it is; `null` is a JSON body if it was written."""
        if "json_body" in self.model_fields_set:
            return to_json(self.json_body).encode(), "application/json"
        if self.text is not None:
            return self.text.encode(), "text/plain; charset=utf-8"
        return None, ""


async def act(call: Call[Config]) -> Output:
    """Return what came back if its status is 2xx."""
    config = call.config
    headers = dict(config.headers)
    body, content_type = config.body()
    if body is not None and not has(headers, "content-type"):
        headers["content-type"] = content_type
    if config.method != "GET" and not has(headers, "idempotency-key"):
        headers["idempotency-key"] = call.key
    params = {name: _spell(value) for name, value in config.params.items()}
    reply = await call.http.request(
        config.method, config.url, headers=headers, params=params, body=body, timeout_seconds=call.timeout_seconds
    )
    return judge(reply, config.method, datetime.now(timezone.utc))


def _spell(value: str | bool | int | float) -> str:
    """A parameter as JSON spells it, so that True is `true`; text as it is."""
    return value if isinstance(value, str) else to_json(value)
