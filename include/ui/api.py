"""The API as pages use it: in this process, as the caller whose page it is.

Pages have no way of their own to the tables. So what a page shows and does, a program can have and do as well, and
ownership, roles, quotas and checks are those of the API, written once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from pydantic_core import from_json
from starlette.types import Message

from include.documents.caller import Caller

_BASE = "/api/v1"


class ProblemError(Exception):
    """What the API refused; `errors` are places in what was sent, such as `body.payload.url`, and what is wrong.

    `document` is the whole of what it answered, which may have more to tell.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        document: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.document = document


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: the document, None where there is none, and its headers (names in lower case)."""

    status: int
    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str | None:
        return self.headers.get("etag")


class Api:
    """`await api.get("/jobs", limit=50)`: the document; `ProblemError` if the API refuses."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._request = request
        self._caller = caller

    async def get(self, path: str, **query: Any) -> Any:
        """The document at a path below /api/v1; a query parameter that is None or empty is left out."""
        return (await self.send("GET", path, query=query)).document

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """What came of it; `key` is an Idempotency-Key."""
        return (await self.send("POST", path, body=body, headers={"idempotency-key": key})).document

    async def delete(self, path: str, *, if_match: str | None = None) -> None:
        await self.send("DELETE", path, headers={"if-match": if_match})

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """The whole answer; a header that is None is left out."""
        wanted = urlencode({name: value for name, value in (query or {}).items() if value not in (None, "")})
        content = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        written = [(name.encode(), value.encode()) for name, value in given.items() if value is not None]
        exchange = _Exchange(content)
        await self._request.app(self._scope(method, path, wanted, written), exchange.receive, exchange.send)
        return exchange.answer()

    def address(self, path: str) -> str:
        """Where a browser finds the document at a path."""
        return f"{self._request.scope.get('root_path', '')}{_BASE}{path}"

    def _scope(self, method: str, path: str, query: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        page = self._request.scope
        whole = self.address(path)
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": page["scheme"],
            "server": page.get("server"),
            "client": page.get("client"),
            "root_path": page.get("root_path", ""),
            "extensions": {},
            "method": method,
            "path": whole,
            "raw_path": whole.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "state": {**page.get("state", {}), "millrace_caller": self._caller},
        }


class _Exchange:
    """One request and its answer, without a network between."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 500
        self._headers: dict[str, str] = {}
        self._received = bytearray()

    async def receive(self) -> Message:
        if self._body is None:
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self._received += message.get("body", b"")

    def answer(self) -> Answer:
        # Many times as fast as `json` where it is long: nobody else is answered meanwhile.
        document: Any = from_json(self._received) if self._received else None
        if self._status >= 400:
            errors = [(error["place"], error["detail"]) for error in document.get("errors") or ()]
            raise ProblemError(self._status, document["detail"], errors, document)
        return Answer(self._status, document, self._headers)
