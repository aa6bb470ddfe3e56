"""`./millrace migrate`: what it needs to be told. What it does is in tests/test_compose_run.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.cli.__main__ import _application
from include.cli.migrate import migrate
from include.errors import ConfigError
from include.local.migration import make_ready


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))


def test_without_a_database_nothing_is_guessed() -> None:
    """It does not look for a system of ./millrace up, which does this by itself."""
    with pytest.raises(ConfigError, match="set MILLRACE_DATABASE_URL"):
        make_ready(print)


def test_an_address_that_is_none_is_named_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by that of `./millrace up`."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "garbage")
    with pytest.raises(ConfigError, match=r"^MILLRACE_DATABASE_URL must be like postgresql://"):
        migrate()


def test_the_admin_of_fab_needs_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is made up here would be one that nobody knows; and nothing was begun."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "include.orchestration.auth_fab.MillraceFabAuthManager")
    with pytest.raises(ConfigError, match="set MILLRACE_PASSWORD"):
        make_ready(print)


def test_it_is_a_command() -> None:
    """With a line on what it needs."""
    shown = CliRunner().invoke(_application("migrate"), ["migrate", "--help"])
    assert "MILLRACE_PASSWORD" in shown.output
