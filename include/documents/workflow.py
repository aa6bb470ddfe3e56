"""A workflow as a document: what a person may set, what is shown of it, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from include import registry
from include.documents.caller import Caller
from include.documents.fields import (
    ActionKind,
    Duration,
    ExternalId,
    Id,
    Instant,
    JsonObject,
    Name,
    Owner,
    Seconds,
    Shown,
    ShownInstant,
    Storable,
    Text,
    between,
)
from include.documents.invalid import InvalidDocumentError
from include.documents.permits import connections_of_action
from include.documents.retry import RetrySettings, ShownRetry
from include.documents.table import Table
from include.documents.watermark import state
from include.fires import next_fires
from include.store import workflows
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.rows import workflow_from_row
from include.times import utcnow

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)

State = Literal["active", "paused", "waiting", "stopped", "error"]


class WorkflowSettings(RetrySettings):
    """A workflow: what is done (`kind` and `payload`) with each new record of a connector."""

    name: Name = Field(description="A name that no other workflow of the owner has.", examples=["to crm"])
    external_id: ExternalId | None = Field(
        None, description="Your own name for the row; creating it again is no second row."
    )
    owner: Owner | None = Field(None, description="Whose it is; yours, unless you are an admin.")
    connector: Annotated[str, Field(min_length=1, max_length=200), Storable] | None = Field(
        None,
        description="The name of the connector whose records it processes; it cannot change. It means the one of the "
        "workflow's owner, or else the only one of that name that you see.",
        examples=["issues"],
    )
    connector_owner: Owner | None = Field(None, description="Whose connector that is, where it is somebody else's.")
    connector_id: Id | None = Field(None, description="Instead of its name, the connector's id.")
    kind: ActionKind = Field(description="What it does; `GET /kinds` describes them.", examples=["webhook"])
    payload: JsonObject = Field(
        {},
        description="The settings of its kind; texts in it are templates, which are filled in for each record.",
        examples=[{"url": "https://example.com/hook", "body": {"title": "{{ record.payload.title }}"}}],
    )

    every: Annotated[Duration, between(_SECOND, timedelta(days=366))] = Field(
        timedelta(seconds=30), description="How often it looks for new records."
    )
    started_at: Instant | None = Field(
        None, description="When it begins; without it when it is made, and afterwards as it was."
    )
    start_from: Text = Field(
        "now",
        min_length=1,
        max_length=100,
        description="Which records it begins with, as long as it has not begun: those stored after `started_at` "
        "(`now`), all that are kept (`beginning`), or those since an instant.",
        examples=["beginning", "2026-11-01T00:00:00Z"],
    )
    filter: Annotated[str, Field(min_length=1, max_length=10_000), Storable] | None = Field(
        None,
        description="An SQL/JSON path predicate on the payload of a record; others are passed over.",
        examples=['$.state == "open"'],
    )
    on_error: Literal["quarantine", "stop", "skip"] = Field(
        "quarantine", description="A record that fails for good: put it aside as a dead letter, stop at it, or go on."
    )
    batch_size: int = Field(1, ge=1, le=1000, description="Up to so many records in one call.")
    timeout: Annotated[Duration, between(timedelta(milliseconds=1), _DAY)] = Field(
        timedelta(seconds=30), description="How long one attempt may take."
    )
    is_active: bool = Field(True, description="Whether it is on duty.")
    paused_until: Instant | None = Field(None, description="Off duty until then.")

    @model_validator(mode="after")
    def _has_connector(self) -> WorkflowSettings:
        if self.connector is None and self.connector_id is None:
            raise ValueError("write connector, the name of one, or connector_id")
        return self


class Progress(Shown):
    """How a workflow is, and how far."""

    name: str
    owner: str
    connector: str
    connector_id: int
    state: State = Field(
        description="stopped: at a record, until somebody retries or skips it; error: it cannot run; waiting: to begin."
    )
    error: str | None = Field(description="Why the row cannot run.")
    begun: bool = Field(description="Whether `started_at` has come; until then it has no lag.")
    position: int = Field(description="The watermark: everything up to this record is finished.")
    head: int = Field(description="The newest record of its connector.")
    lag_records: int | None = Field(description="How many records lie ahead.")
    lag_seconds: float | None = Field(description="How old the oldest of these is.")
    processed: int = Field(description="How many records have been processed.")
    failed: int = Field(description="How many it has given up on.")
    stopped_at: int | None = Field(description="The record at which it has stopped.")
    stopped_by: str | None = Field(description="What went wrong there.")
    dead_letters: int = Field(description="How many nobody has resolved.")
    moved_at: ShownInstant = Field(description="When its watermark was last moved.")


class Lag(Progress):
    """How far a workflow is."""

    workflow_id: int


class Workflow(ShownRetry, Progress):
    """A workflow, as it is, and how far."""

    id: int
    external_id: str | None
    every: Seconds
    started_at: ShownInstant
    start_from: str
    filter: str | None
    kind: str
    payload: dict[str, Any]
    on_error: str
    batch_size: int
    timeout: Seconds
    is_active: bool
    paused_until: ShownInstant | None
    schedule: str = Field(description="Its schedule in words.", examples=["every 30s"])
    dag_id: str = Field(description="Its DAG in Airflow.", examples=["workflow_42"])
    next: ShownInstant | None = Field(description="When it is due next.")
    revision: int = Field(description="The version of its settings: the ETag.")
    created_at: ShownInstant
    updated_at: ShownInstant = Field(description="When its settings were last changed.")


def document(row: Row, now: datetime) -> dict[str, Any]:
    """A workflow's row, with how far it is, as a `Workflow`."""
    workflow = workflow_from_row(row)
    fires = next_fires(workflow, now, 1)
    return {
        **row,
        "schedule": workflow.schedule.describe(),
        "dag_id": workflow.dag_id,
        "state": state(row, now).partition(" ")[0],
        "next": fires[0] if fires else None,
    }


def lag_document(row: Row, now: datetime) -> dict[str, Any]:
    """How far a workflow is, as a `Lag`; its row may be one of `workflow` or one of `store.workflows.search_lag`."""
    return {"workflow_id": row.get("id"), **row, "state": state(row, now).partition(" ")[0]}


class _Workflows(Table[WorkflowSettings]):
    """Workflows name their connector, as people do, for its id means nothing elsewhere."""

    __slots__ = ()

    def settings_of(self, row: Row) -> dict[str, Any]:
        settings = super().settings_of(row)
        del settings["connector_id"]
        return settings


# What only a stored row has; a new one is judged without it.
_UNSTORED: dict[str, Any] = {"id": 0, "connector": "", "revision": 0, "error": None}


def _columns(db: DictConnection, caller: Caller, settings: WorkflowSettings, stored: Row | None) -> dict[str, Any]:
    if wrong := workflows.unreadable(db, filter=settings.filter, start_from=settings.start_from):
        raise InvalidDocumentError(wrong)
    columns = settings.model_dump(round_trip=True)
    del columns["connector"], columns["connector_owner"]
    columns["connector_id"] = _connector_id(db, caller, settings, stored)
    if settings.started_at is None:
        del columns["started_at"]
    return columns


def _connector_id(db: DictConnection, caller: Caller, settings: WorkflowSettings, stored: Row | None) -> int:
    """The connector's id; `InvalidDocumentError` if the caller sees none such, or several, or if it is another one than
    before."""
    name, given, whose = settings.connector, settings.connector_id, settings.connector_owner
    if stored is not None:
        before: int = stored["connector_id"]
        owner = stored["connector_owner"] or stored["owner"]
        if name not in (None, stored["connector"]) or given not in (None, before) or whose not in (None, owner):
            said = "it cannot change, for the watermark is a position in its log; add a new workflow instead"
            raise InvalidDocumentError([("connector", said)])
        return before
    found = workflows.connectors_of_new(db, name, given, caller.sees)
    own = settings.owner or caller.name
    if whose is not None or any(row["owner"] == own for row in found):
        found = [row for row in found if row["owner"] == (whose or own)]
    if len(found) == 1:
        return int(found[0]["id"])
    place = "connector_id" if name is None else "connector"
    if found:
        listed = ", ".join(f"{row['id']} ({row['owner']})" for row in found)
        raise InvalidDocumentError([(place, f"several owners have one named {name!r}; say by connector_id: {listed}")])
    meant = [f"named {name!r}"] if name is not None else []
    meant += [f"with id {given}"] if given is not None else []
    meant += [f"of {whose!r}"] if whose is not None else []
    raise InvalidDocumentError([(place, f"there is no connector {' and '.join(meant)}")])


def _judge(columns: Mapping[str, Any], stored: Row | None) -> None:
    now = utcnow()
    new = {**workflows.DEFAULTS, **_UNSTORED, "started_at": now, "schedule_changed_at": now}
    registry.vet(workflow_from_row({**(stored or new), **columns}))


def _connections(columns: Mapping[str, Any]) -> frozenset[str]:
    return connections_of_action(columns["kind"], columns["payload"], None)


WORKFLOWS = _Workflows(
    noun="workflow",
    settings=WorkflowSettings,
    document=document,
    get=workflows.get,
    by_external_id=workflows.by_external_id,
    insert=workflows.insert,
    change=workflows.change,
    remove=workflows.remove,
    columns=_columns,
    judge=_judge,
    connections=_connections,
)
