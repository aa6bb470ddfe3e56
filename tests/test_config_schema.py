"""The published schema and the examples are those of this version."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from include import registry
from include.documents.configuration.files import read_files
from include.documents.configuration.references import Environment
from include.documents.configuration.schema import schema
from include.local.home import PROJECT
from include.store.db import DictConnection
from tests.config_rows import URL, applied, connector, job, planned, workflow

EXAMPLES = PROJECT / "examples" / "config"
VALIDATOR = Draft202012Validator(schema())


def test_the_published_schema_is_up_to_date() -> None:
    """What editors are given is what is checked; `./millrace export --schema -f docs/millrace.schema.json` makes it."""
    Draft202012Validator.check_schema(schema())
    assert json.loads((PROJECT / "docs" / "millrace.schema.json").read_text("utf-8")) == schema()


def test_the_examples_can_be_applied(db: DictConnection) -> None:
    """The example files fit the schema, and are a whole configuration that works, once and again."""
    files = read_files([str(EXAMPLES)], {"HOOK": "https://example.com/hook"})
    for document in files.documents:
        VALIDATOR.validate(document)
    assert len(applied(db, *files.documents).steps) == 5
    assert planned(db, *files.documents, prune=True).steps == ()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        {"version": 1, "job": {}},
        {"version": 1, "jobs": {"a": {}}},
        {"version": 1, "jobs": {"a": {"kind": "ping", "external_id": "x"}}},
        {"version": 1, "jobs": {"a": {"kind": "ping", "overlap": "never"}}},
        {"version": 1, "workflows": {"a": {"kind": "webhook"}}},
        {"version": 1, "budgets": {"a": {"rate_limit": "5"}}},
        {"version": 1, "jobs": {"a": {"kind": "ping"}}},
        {"version": 1, "jobs": {"a": job(payload={"url": URL, "expct_status": 200})}},
        {"version": 1, "workflows": {"a": workflow("c", payload={"url": URL, "bdy": {}})}},
        {"version": 1, "workflows": {"a": workflow("c", payload={"url": 5})}},
        {"version": 1, "connectors": {"a": connector(config={"path": "items"})}},
        {"version": 1, "connectors": {"a": connector(config={"base_url": URL, "paginator": {"type": "offset"}})}},
    ],
)
def test_the_schema_refuses_what_apply_would(document: dict[str, object]) -> None:
    """An editor marks a missing kind, a misspelt key or value, a workflow without a connector, and settings that are
    missing, or that no kind has."""
    assert not VALIDATOR.is_valid(document)


def rest(**config: Any) -> dict[str, Any]:
    return connector(config={"base_url": URL, "path": "items", "primary_key": "id", **config})


def test_the_schema_takes_what_apply_does(db: DictConnection) -> None:
    """References, templates, and the other spellings of a setting are no errors in an editor."""
    called = {"url": URL, "method": "post", "headers": {"X-Title": "{{ record.payload.title }}"}}
    mail = {"conn_id": "smtp_default", "to": "a@example.com", "subject": "${SUBJECT}", "text": "x"}
    document = {
        "version": 1,
        "connectors": {
            "c": rest(paginator="header_link", params={"per_page": 100, "since": "${SINCE}"}),
            "d": rest(paginator={"type": "offset", "limit": "${LIMIT}"}, primary_key=["id", "at"]),
            "e": {"kind": "feed", "config": {"url": "${FEED}"}},
        },
        "jobs": {
            "a": job(payload={"url": "${URL}", "expect_status": "${STATUS}"}, retries="${RETRIES}", is_active="${ON}"),
            "b": job(kind="email", payload=mail),
            "d": job(kind="email", payload={**mail, "to": ["a@example.com", "B <b@example.com>"]}),
            "e": job(kind="sql", payload={"conn_id": "db", "sql": "select 1; select 2"}),
            "f": job(kind="http", payload={"url": URL, "params": {"a": 1, "b": True}, "json": [1, None]}),
        },
        "workflows": {
            "w": workflow("c", payload={**called, "body": "{{ record.payload }}"}, batch_size="${SIZE}"),
            "v": workflow(
                "c", kind="sql", every="1m", payload={"conn_id": "db", "sql": ["select %(a)s"], "parameters": "{{ x }}"}
            ),
            "u": workflow("c", kind="email", payload={**mail, "to": "{{ record.payload.to }}"}),
        },
    }
    assert list(VALIDATOR.iter_errors(document)) == []
    variables = {"SUBJECT": "x", "SINCE": "x", "LIMIT": "5", "FEED": URL, "URL": URL, "STATUS": "200"}
    variables |= {"RETRIES": "1", "ON": "true", "SIZE": "5"}
    assert len(planned(db, Environment(variables).resolve(document, str)).steps) == 11


def test_every_kind_has_its_settings_in_the_schema() -> None:
    """An editor completes the settings of every kind."""
    kinds = {f"action_{kind}": registry.action(kind).config for kind in registry.action_kinds()}
    kinds |= {f"source_{kind}": registry.source(kind).config for kind in registry.source_kinds()}
    for name, config in kinds.items():
        assert schema()["$defs"][name]["properties"].keys() == config.model_json_schema()["properties"].keys()
