"""What tests of `./millrace connectors` share: the command, called as people call it, and rows to call it on."""

from __future__ import annotations

import pytest

from include.cli.connectors import app
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing

__all__ = ["SHOP", "Refused", "Run", "add_records", "add_workflow", "document", "environment", "refused", "run"]

SHOP = ("python", "--set", "function=shop:items")


@pytest.fixture
def run(environment: None) -> Run:
    """Call `connectors` with these words; it must go well."""
    return going_well(app)


@pytest.fixture
def refused(environment: None) -> Refused:
    """Call `connectors` with these words; it must end with exit code 1 and an error of ours, which is returned."""
    return refusing(app)


def add_records(db: DictConnection, connector_id: int, count: int) -> None:
    db.execute(
        "select append_records(%s, (select jsonb_agg(jsonb_build_object('key', 'k' || n, 'payload',"
        " jsonb_build_object('n', n)) order by n) from generate_series(1, %s) n))",
        (connector_id, count),
    )


def add_workflow(db: DictConnection, connector_id: int, name: str = "to crm") -> None:
    db.execute(
        "insert into workflow (name, owner, connector_id, start_from, kind, payload) values"
        """ (%s, 'ada@example.com', %s, 'beginning', 'webhook', '{"url": "http://127.0.0.1:9/"}')""",
        (name, connector_id),
    )
