"""The fields that kinds speaking HTTP have in common, checked when the payload is parsed."""

from __future__ import annotations

import re
from json import JSONEncoder
from typing import Annotated

from pydantic import AfterValidator, Field

from include.egress import parse_url

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# What frames the message or steers the connection (RFC 9110 7.6.1) is the client's to write: a second opinion on it
# would let one request pass for two.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# UTF-8 as it is, without blanks: the smallest form, and the one that readers of the log can read.
to_json = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _check_url(value: str) -> str:
    parse_url(value)
    return value


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name; write letters, digits and hyphens")
        if name.lower() in _OURS:
            raise ValueError(f"leave out {name}: Millrace writes it")
        if name.lower() in seen:
            raise ValueError(f"write {name} only once: upper and lower case are the same")
        if _CONTROL.search(value):
            raise ValueError(f"write the value of {name} in one line, without control characters")
        seen.add(name.lower())
    return headers


def _check_webhook_headers(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if name.lower().startswith("webhook-"):
            raise ValueError(f"leave out {name}: Millrace writes the webhook- headers")
    return headers


def has(headers: dict[str, str], name: str) -> bool:
    """Whether the user set a header; `name` in lower case."""
    return any(given.lower() == name for given in headers)


Url = Annotated[str, Field(max_length=2048, json_schema_extra={"format": "uri"}), AfterValidator(_check_url)]
Headers = Annotated[dict[str, str], Field(max_length=64), AfterValidator(_check_headers)]
WebhookHeaders = Annotated[Headers, AfterValidator(_check_webhook_headers)]
