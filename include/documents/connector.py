"""A connector as a document: what a person may set, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import psycopg
from pydantic import Field

from include import registry
from include.documents.caller import Caller
from include.documents.fields import (
    Document,
    Duration,
    ExternalId,
    Instant,
    JsonObject,
    Name,
    Notify,
    Owner,
    Seconds,
    Shown,
    ShownInstant,
    SourceKind,
    Storable,
    between,
)
from include.documents.invalid import InvalidDocumentError
from include.documents.permits import connections_of_source
from include.documents.push_address import push_address
from include.documents.state import pull_state
from include.documents.table import Table
from include.errors import RefusedError
from include.fires import next_fires
from include.model import Connector as ConnectorRow
from include.store import budgets, connectors
from include.store.db import DictConnection
from include.store.edits import NO_BUDGET, Row
from include.store.rows import connector_from_row
from include.times import utcnow

State = Literal["active", "paused", "failing", "rate-limited", "error"]

_SECOND = timedelta(seconds=1)


class ConnectorSettings(Document):
    """A connector: where records come from (`kind` and `config`), and how often they are pulled (`every`)."""

    name: Name = Field(description="A name that no other connector of the owner has.", examples=["shop orders"])
    external_id: ExternalId | None = Field(
        None, description="Your own name for the row; creating it again is no second row."
    )
    owner: Owner | None = Field(None, description="Whose it is; yours, unless you are an admin.")
    kind: SourceKind = Field(description="Where records come from; `GET /kinds` describes them.", examples=["rest"])
    config: JsonObject = Field(
        {},
        description="The settings of its kind.",
        examples=[{"base_url": "https://example.com/api", "path": "orders", "primary_key": "id"}],
    )
    every: Annotated[Duration, between(_SECOND, timedelta(days=366))] | None = Field(
        None, description="How often to pull; without it only by hand, or what is pushed."
    )
    dedupe: Literal["key", "content"] = Field(
        "key", description="Store each key once, or again when its content has changed."
    )
    rate_limit: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
        description="How many requests at most.",
        examples=["10/second"],
    )
    budget: Annotated[str, Field(min_length=1, max_length=200), Storable] | None = Field(
        None,
        description="A budget of requests, shared by all who name it.",
    )
    timeout: Annotated[Duration, between(timedelta(milliseconds=1), timedelta(hours=1))] = Field(
        timedelta(seconds=30), description="How long one request may take."
    )
    alert_after: int = Field(5, ge=1, le=1000, description="After so many failures in a row it counts as failing.")
    notify: Notify | None = Field(
        None,
        description="What to do when it begins to fail, and when it has recovered.",
        examples=[{"kind": "slack", "payload": {"conn_id": "slack_default", "channel": "#ops"}}],
    )
    is_active: bool = Field(True, description="Whether it is on duty.")
    paused_until: Instant | None = Field(None, description="Off duty until then.")


class PreviewSettings(ConnectorSettings):
    """A connector to try out: of one that is not stored, nobody needs a name."""

    name: Name = Field("preview", description="As for a connector; not needed here.")


class Connector(Shown):
    """A connector, as it is."""

    id: int
    name: str
    external_id: str | None
    owner: str
    kind: str
    config: dict[str, Any]
    every: Seconds | None
    dedupe: str
    rate_limit: str | None
    budget: str | None
    timeout: Seconds
    alert_after: int
    notify: dict[str, Any] | None
    is_active: bool
    paused_until: ShownInstant | None
    state: State = Field(description="How it is; failing: it is pulled less often; error: it cannot run.")
    error: str | None = Field(description="Why the row cannot run.")
    schedule: str = Field(description="Its schedule in words.", examples=["every 5 min"])
    dag_id: str = Field(description="Its DAG in Airflow.", examples=["connector_42"])
    pushed_to: str | None = Field(
        description="The path of the URL that records are pushed to; null: of a kind that is not.",
        examples=["/millrace/hooks/42"],
    )
    next: ShownInstant | None = Field(description="When it is pulled next.")
    cursor: Any = Field(description="Where the next pull goes on; null: at the beginning.")
    head: int = Field(description="The position of the newest record: how many there are.")
    head_at: ShownInstant | None = Field(description="When the newest record was stored.")
    records_last_minute: int = Field(description="How many records were stored within the last minute.")
    pulled_at: ShownInstant | None = Field(description="When the last pull came to its end.")
    failures: int = Field(description="Failures in a row.")
    failing_since: ShownInstant | None = Field(description="Since when it has counted as failing.")
    not_before: ShownInstant | None = Field(description="Until when its source wants to be left alone.")
    last_error: str | None = Field(description="What went wrong at the last pull.")
    revision: int = Field(description="The version of its settings: the ETag.")
    created_at: ShownInstant
    updated_at: ShownInstant = Field(description="When its settings were last changed.")


def document(row: Row, now: datetime) -> dict[str, Any]:
    """A connector's row as a `Connector`."""
    connector = connector_from_row(row)
    fires = next_fires(connector, now, 1)
    return {
        **row,
        "schedule": connector.schedule.describe(),
        "dag_id": connector.dag_id,
        "pushed_to": push_address(connector.kind, connector.id),
        "state": pull_state(row, now).partition(" ")[0],
        "next": fires[0] if fires else None,
    }


# What only a stored row has; a new one is judged without it.
_UNSTORED: dict[str, Any] = {"id": 0, "revision": 0, "cursor": None, "failures": 0, "not_before": None, "error": None}


def candidate(columns: Mapping[str, Any], stored: Row | None) -> ConnectorRow:
    """What a connector with these columns will be; `ConfigError` if it could not run.

    One that is failing is pulled less often; it is judged as it will be when it has recovered.
    """
    now = utcnow()
    before = stored or {**connectors.DEFAULTS, **_UNSTORED, "created_at": now, "schedule_changed_at": now}
    connector = connector_from_row({**before, **columns, "failing_since": None})
    registry.vet(connector)
    return connector


def _columns(db: DictConnection, caller: Caller, settings: ConnectorSettings, stored: Row | None) -> dict[str, Any]:
    if settings.budget is not None and budgets.get(db, settings.budget) is None:
        raise InvalidDocumentError([("budget", NO_BUDGET)])
    return settings.model_dump(round_trip=True)


def _judge(columns: Mapping[str, Any], stored: Row | None) -> None:
    candidate(columns, stored)


def _connections(columns: Mapping[str, Any]) -> frozenset[str]:
    return connections_of_source(columns["kind"], columns["config"], columns["notify"])


def _remove(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    try:
        return connectors.remove(db, ids)
    except psycopg.errors.ForeignKeyViolation:
        raise still_read() from None


def still_read() -> RefusedError:
    """Why a connector cannot be deleted that workflows read."""
    return RefusedError(409, "workflows read its records; delete them first: `GET /workflows` lists yours")


CONNECTORS = Table(
    noun="connector",
    settings=ConnectorSettings,
    document=document,
    get=connectors.get,
    by_external_id=connectors.by_external_id,
    insert=connectors.insert,
    change=connectors.change,
    remove=_remove,
    columns=_columns,
    judge=_judge,
    connections=_connections,
    code="config",
)
