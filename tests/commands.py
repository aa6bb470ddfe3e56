"""What tests of all command groups share: a command called as people call it, and what it says, judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from include.errors import ConfigError, RefusedError
from include.settings import settings

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


def going_well(app: typer.Typer) -> Run:
    """Call `app` with these words; it must go well."""

    def call(*words: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return call


def refusing(app: typer.Typer) -> Refused:
    """Call `app` with these words; it must end with exit code 1 and an error of ours, which is returned."""

    def call(*words: str, input: str | None = None) -> str:
        result = CliRunner().invoke(app, words, input=input)
        assert result.exit_code == 1
        assert isinstance(result.exception, ConfigError | RefusedError), (result.output, result.exception)
        return str(result.exception)

    return call


def document(result: Result) -> Any:
    return json.loads(result.stdout)
