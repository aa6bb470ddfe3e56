"""The fields of a request, checked when the configuration is parsed."""

from __future__ import annotations

import re
from json import JSONEncoder
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat

from include.egress import parse_url

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECRET = frozenset({"authorization", "proxy-authorization"})
# What frames the message or steers the connection (RFC 9110 7.6.1) is the client's to write.
_OURS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)

# The smallest form, and the same one for the same value: keys are made of it.
to_json = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _check_url(value: str) -> str:
    parse_url(value)
    return value


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        low = name.lower()
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name; write letters, digits and hyphens")
        if low in _OURS:
            raise ValueError(f"leave out {name}: Millrace writes it")
        if low in _SECRET:
            raise ValueError(f"leave out {name}: put the secret into an Airflow connection and name that as conn_id")
        if low in seen:
            raise ValueError(f"write {name} only once: upper and lower case are the same")
        if _CONTROL.search(value):
            raise ValueError(f"write the value of {name} in one line, without control characters")
        seen.add(low)
    return headers


def _check_param(value: object) -> object:
    for item in value if isinstance(value, list) else [value]:
        if item is not None and not isinstance(item, (str, bool, int, float)):
            raise ValueError("write a text, a number, true, false, null or a list of those; incremental goes beside")
    return value


def _check_cursor_value(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("write a text or a number")
    return value


def _check_body_path(value: str) -> str:
    if not all(value.split(".")):
        raise ValueError("write names with dots between them, such as page.offset")
    return value


Scalar = str | bool | int | FiniteFloat | None
CursorValue = Annotated[str | int | FiniteFloat, BeforeValidator(_check_cursor_value)]
Url = Annotated[str, Field(max_length=2048, json_schema_extra={"format": "uri"}), AfterValidator(_check_url)]
Headers = Annotated[dict[str, str], Field(max_length=64), AfterValidator(_check_headers)]
Param = Annotated[Scalar | list[Scalar], BeforeValidator(_check_param)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
BodyPath = Annotated[str, Field(max_length=500), AfterValidator(_check_body_path)]
