"""What a row says is judged before it runs: workflows with templates in their payload as far as that is possible."""

from __future__ import annotations

from typing import Any

import pytest

from include import registry
from include.errors import ConfigError
from include.store.db import DictConnection
from include.store.rows import connector_from_row, workflow_from_row
from tests.log_rows import add_connector, add_workflow


def vet_workflow(db: DictConnection, **columns: Any) -> None:
    connector = add_connector(db)
    add_workflow(db, connector, "", **columns)
    row = db.execute(
        "select w.*, c.name as connector from workflow w join connector c on c.id = connector_id"
    ).fetchone()
    assert row is not None
    registry.vet(workflow_from_row(row))


@pytest.mark.parametrize(
    "payload",
    [
        {"url": "http://127.0.0.1/"},
        {"url": "http://127.0.0.1/{{ record.key }}", "body": {"n": "{{ record.payload.n }}"}},
        {"url": "http://127.0.0.1/", "body": "{{ record }}", "headers": {"x-owner": "{{ owner }}"}},
    ],
)
def test_templates_are_judged_when_they_are_filled(db: DictConnection, payload: dict[str, Any]) -> None:
    """A setting that is a template cannot be judged yet; all others are."""
    vet_workflow(db, payload=payload)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"payload": {"body": "{{ record }}"}}, "url"),
        ({"payload": {"url": 5, "body": "{{ record }}"}}, "url"),
        ({"payload": {"url": "http://127.0.0.1/", "bdoy": "{{ record }}"}}, "bdoy"),
        ({"payload": {"url": "http://127.0.0.1/", "body": {"a": "{{ record. }}"}}}, "body.a"),
        ({"payload": {}, "kind": "wehbook"}, "did you mean 'webhook'"),
    ],
)
def test_what_is_wrong_whatever_the_record_is_said_at_once(
    db: DictConnection, columns: dict[str, Any], says: str
) -> None:
    """A missing, misspelt or senseless setting is refused before any record comes."""
    with pytest.raises(ConfigError, match=says):
        vet_workflow(db, **columns)


def test_a_connectors_notice_is_judged_too(db: DictConnection) -> None:
    """What would have to be sent when the connector fails is known to be wrong before it fails."""
    config = {"verify": "bearer", "conn_id": "c"}
    add_connector(db, config=config, notify={"kind": "webhook", "payload": {"body": "{{ error }}"}})
    row = db.execute("select * from connector").fetchone()
    assert row is not None
    with pytest.raises(ConfigError, match="url"):
        registry.vet(connector_from_row(row))


@pytest.mark.parametrize(("kind", "field"), [("sql", "sql"), ("shell", "command"), ("python", "function")])
def test_what_a_record_holds_is_never_run(db: DictConnection, kind: str, field: str) -> None:
    """What a kind runs as it is written cannot be a template of a workflow, whatever else in the payload is."""
    with pytest.raises(ConfigError, match=f"{field} cannot be a template"):
        vet_workflow(db, kind=kind, every="1 minute", payload={field: "select '{{ record.payload.title }}'"})
