"""A kind as a document: what it does, and which settings it takes."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field

from include import registry
from include.documents.caller import Caller
from include.documents.fields import Shown


class ActionKind(Shown):
    """What a job or a workflow of one kind does."""

    kind: str = Field(examples=["webhook"])
    summary: str = Field(description="What it does, in a sentence.")
    runs_on: Literal["triggerer", "worker"] = Field(
        description="On a worker, at most once a minute; in the triggerer, as often as once a second."
    )
    record_field: str | None = Field(
        description="The setting that gets the record of a workflow whose payload does not say what to send."
    )
    admins_only: bool = Field(description="Whether only admins may put it into rows.")
    json_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of its payload.")


class SourceKind(Shown):
    """Where the records of connectors of one kind come from."""

    kind: str = Field(examples=["rest"])
    summary: str = Field(description="What it does, in a sentence.")
    runs_on: Literal["triggerer", "worker", "api"] = Field(
        description="On a worker, at most once a minute; api: records are pushed to it."
    )
    admins_only: bool = Field(description="Whether only admins may put it into rows.")
    json_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of its config.")


class Kinds(Shown):
    """Every kind: of jobs and workflows, and of connectors."""

    actions: list[ActionKind]
    connectors: list[SourceKind]


def action_document(kind: str, caller: Caller) -> dict[str, Any]:
    """The kind of jobs and workflows as an `ActionKind`; `ConfigError` names the kinds there are."""
    action = registry.action(kind)
    return {
        "kind": kind,
        "summary": action.summary,
        "runs_on": action.runs_on,
        "record_field": action.record_field,
        "admins_only": kind in caller.admin_kinds,
        "json_schema": _action_schema(kind),
    }


def source_document(kind: str, caller: Caller) -> dict[str, Any]:
    """The kind of connectors as a `SourceKind`; `ConfigError` names the kinds there are."""
    source = registry.source(kind)
    return {
        "kind": kind,
        "summary": source.summary,
        "runs_on": source.runs_on,
        "admins_only": kind in caller.admin_kinds,
        "json_schema": _source_schema(kind),
    }


def documents(caller: Caller) -> dict[str, Any]:
    """All of them as `Kinds`."""
    return {
        "actions": [action_document(kind, caller) for kind in registry.action_kinds()],
        "connectors": [source_document(kind, caller) for kind in registry.source_kinds()],
    }


@cache
def _action_schema(kind: str) -> dict[str, Any]:
    return registry.action(kind).config.model_json_schema()


@cache
def _source_schema(kind: str) -> dict[str, Any]:
    return registry.source(kind).config.model_json_schema()
