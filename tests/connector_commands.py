"""What tests of `./millrace connectors` share: the command, called as people call it, and rows to call it on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from include.cli.connectors import app
from include.errors import ConfigError
from include.settings import settings
from include.store.db import DictConnection

SHOP = ("python", "--set", "function=shop:items")
Run = Callable[..., Result]
Refused = Callable[..., str]


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's database in the environment, and no running system to be found."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", database_url)
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def run(environment: None) -> Run:
    """Call `connectors` with these words; it must go well."""

    def call(*words: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def refused(environment: None) -> Refused:
    """Call `connectors` with these words; it must end with exit code 1 and an error of ours, which is returned."""

    def call(*words: str, input: str | None = None) -> str:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 1
        assert isinstance(result.exception, ConfigError), (result.output, result.exception)
        return str(result.exception)

    return call


def document(result: Result) -> Any:
    return json.loads(result.stdout)


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
