"""A request before it is sent: where a paginator puts its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from yarl import URL

from include.connectors._rest_fields import to_json
from include.egress import parse_url
from include.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask: parameters are added to those that the URL has, a body is sent as JSON."""

    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    def at(self, url: str) -> Request:
        """The same at a URL that says everything, so without the parameters."""
        return replace(self, url=url, params={})

    def with_param(self, name: str, value: Any) -> Request:
        return replace(self, params={**self.params, name: value})

    def with_body(self, dotted: str, value: Any) -> Request:
        """The same with a value at a place of its body; objects on the way there are made where there are none."""
        *way, last = dotted.split(".")
        body = here = dict(self.body or {})
        for name in way:
            there = here.get(name, {})
            if not isinstance(there, dict):
                raise PermanentError(f"the body has something else where {dotted} is to go; write json without it")
            here[name] = here = dict(there)
        here[last] = value
        return replace(self, body=body)

    def target(self) -> URL:
        """The URL with its parameters. Lists become a parameter for each item, what is null is left out."""
        url = parse_url(self.url)
        pairs = [(name, spelt(item)) for name, value in self.params.items() for item in _items(value)]
        return url.extend_query(pairs) if pairs else url


def _items(value: Any) -> list[Any]:
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None]


def spelt(value: Any) -> str:
    """A parameter as JSON spells it, so that True is `true`; text as it is."""
    return value if isinstance(value, str) else to_json(value)


def join(base: str, path: str) -> str:
    """The URL of a path below a base; a path that is a URL already stands for itself."""
    if path.lower().startswith(("http://", "https://")):
        return path
    return f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base


def same_origin(one: URL, other: URL) -> bool:
    """Whether two URLs have scheme, host and port in common (RFC 6454 5), a default port written out or not."""
    return (one.scheme, one.raw_host, one.port) == (other.scheme, other.raw_host, other.port)
