"""The published schema and the examples are those of this version."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from include.documents.configuration.document import schema
from include.documents.configuration.files import read_files
from include.local.home import PROJECT
from include.store.db import DictConnection
from tests.config_rows import applied, planned

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
    ],
)
def test_the_schema_refuses_what_apply_would(document: dict[str, object]) -> None:
    """An editor marks a missing kind, a misspelt key or value, and a workflow without a connector."""
    assert not VALIDATOR.is_valid(document)
