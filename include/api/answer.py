"""What a route answers: a model as JSON, with the headers that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel

from include.store.idempotency import Answer

_JSON = "application/json"


def answer(
    model: type[BaseModel], document: object, status: int = 200, *, etag: str | None = None, location: str | None = None
) -> Answer:
    """The document as JSON of the model; `etag` is the row's version, `location` the URL of what was created."""
    headers = {name: value for name, value in (("ETag", etag), ("Location", location)) if value is not None}
    return Answer(status, headers, model.model_validate(document).model_dump_json())


def empty() -> Answer:
    """204: done, and nothing to say."""
    return Answer(204, {}, None)


def response(made: Answer, more: Mapping[str, str] | None = None) -> Response:
    """The answer as it is sent."""
    headers: dict[str, Any] = {**made.headers, **(more or {})}
    if made.body is None:
        return Response(status_code=made.status, headers=headers)
    return Response(made.body, made.status, headers, _JSON)
