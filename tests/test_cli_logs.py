"""`./millrace logs`: which logs there are to show."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.cli.logs import log_files
from include.errors import ConfigError
from include.local.home import Home


@pytest.mark.parametrize("component", [None, "scheduler"])
def test_where_nothing_has_run_one_is_told_to_start_it(tmp_path: Path, component: str | None) -> None:
    """Silence would look as if all were well, and quiet."""
    with pytest.raises(ConfigError, match=r"nothing has run here yet.*`./millrace up`"):
        log_files(Home(tmp_path), component)


def test_a_component_without_a_log_is_told_which_have_one(tmp_path: Path) -> None:
    """Of one that has, the log is shown; by itself, of all."""
    home = Home(tmp_path)
    home.logs.mkdir(parents=True)
    for name in ("scheduler", "triggerer"):
        (home.logs / f"{name}.log").touch()
    assert list(log_files(home, None)) == ["scheduler", "triggerer"]
    assert list(log_files(home, "triggerer")) == ["triggerer"]
    with pytest.raises(ConfigError, match="no log of 'api'; there are: scheduler, triggerer"):
        log_files(home, "api")
