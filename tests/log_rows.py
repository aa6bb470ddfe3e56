"""Connectors, records and workflows for tests, as people write them: by SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from include.store.db import DictConnection


def add_connector(db: DictConnection, name: str = "source", **columns: Any) -> int:
    """Insert a connector and return its id; pushed to, where nothing else is said."""
    return _insert(db, "connector", {"name": name, "kind": "webhook", **columns})


def add_workflow(db: DictConnection, connector_id: int, url: str, name: str = "flow", **columns: Any) -> int:
    """Insert a workflow that posts each record to `url`, from the beginning where nothing else is said."""
    given = {"kind": "webhook", "payload": {"url": url}, "start_from": "beginning", "every": "1 second", **columns}
    return _insert(db, "workflow", {"name": name, "connector_id": connector_id, **given})


def append(db: DictConnection, connector_id: int, payloads: Sequence[Any], *, first: int = 1) -> None:
    """Append records with the keys `k<first>`, `k<first + 1>`, ..."""
    items = [{"key": f"k{number}", "payload": payload} for number, payload in enumerate(payloads, first)]
    db.execute("select append_records(%s, %s)", (connector_id, json.dumps(items)))


def progress(db: DictConnection, workflow_id: int) -> dict[str, Any]:
    row = db.execute("select * from workflow_progress where workflow_id = %s", (workflow_id,)).fetchone()
    assert row is not None
    return row


def _insert(db: DictConnection, table: str, columns: dict[str, Any]) -> int:
    values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
    statement = sql.SQL("insert into {} ({}) values ({}) returning id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
    )
    row = db.execute(statement, values).fetchone()
    assert row is not None
    return int(str(row["id"]))
