"""/kinds: what rows can do, and which settings that takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path
from fastapi.responses import Response
from pydantic import BaseModel

from include.api.answer import answer, response
from include.api.etag import IfNoneMatch, etag, is_known
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.route import api_router
from include.documents import kind as kinds
from include.documents.kind import ActionKind, Kinds, SourceKind
from include.errors import ConfigError, RefusedError

router = api_router(prefix="/kinds", tags=["kinds"])

KindName = Annotated[str, Path(max_length=63, description="The name of a kind.", examples=["webhook"])]


@router.get("", response_model=Kinds, responses=problems())
def list_kinds(caller: CallerDep, if_none_match: IfNoneMatch = None) -> Response:
    """Every kind, with a JSON Schema of its settings; the `ETag` changes when one of them does."""
    return _answer(Kinds, kinds.documents(caller), if_none_match)


@router.get("/actions/{kind}", response_model=ActionKind, responses=problems(404))
def get_action_kind(kind: KindName, caller: CallerDep, if_none_match: IfNoneMatch = None) -> Response:
    """One kind of jobs and workflows."""
    return _answer(ActionKind, _found(lambda: kinds.action_document(kind, caller)), if_none_match)


@router.get("/connectors/{kind}", response_model=SourceKind, responses=problems(404))
def get_connector_kind(kind: KindName, caller: CallerDep, if_none_match: IfNoneMatch = None) -> Response:
    """One kind of connectors."""
    return _answer(SourceKind, _found(lambda: kinds.source_document(kind, caller)), if_none_match)


def _found(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except ConfigError as error:
        raise RefusedError(404, str(error)) from None


def _answer(model: type[BaseModel], document: dict[str, Any], if_none_match: str | None) -> Response:
    made = answer(model, document)
    assert made.body is not None  # noqa: S101 - a document was put in
    version = {"revision": hashlib.sha256(made.body.encode()).hexdigest()[:32]}
    headers = {"ETag": etag(version)}
    if is_known(version, if_none_match):
        return Response(status_code=304, headers=headers)
    return response(made, headers)
