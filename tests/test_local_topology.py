"""Several schedulers and triggerers on one machine: how many, how each is told apart, and when one is given up."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.cli.__main__ import _application
from include.errors import ConfigError
from include.local.components import airflow_components
from include.local.database import Database
from include.local.environment import Site, component_environment
from include.local.home import Home
from include.local.hostname import COMPONENT, hostname, hostname_of
from include.local.keys import Keys
from include.local.patience import GIVEN_UP_SECONDS, Patience
from include.local.processes import Child, Identity, end
from include.local.redis import Redis
from include.local.run import Component, Wishes
from include.local.signs import State, states
from include.store.db import DictConnection
from tests.real_system import wait_for


def site(tmp_path: Path, broker_url: str | None = None) -> Site:
    keys = Keys("a", "b", "c", "d")
    return Site(Home(tmp_path), Database("postgresql://u:p@h/d"), keys, 8080, demo=False, broker_url=broker_url)


# -- what is wished for -----------------------------------------------------------------------------------------------


def test_each_component_has_a_name_and_a_log_of_its_own(tmp_path: Path) -> None:
    """The first has the plain name, whether or not there is a second."""
    wishes = Wishes(schedulers=2, triggerers=3, executor="celery")
    made = airflow_components(site(tmp_path), {}, wishes)
    assert [component.name for component in made] == [
        *("api-server", "scheduler", "scheduler-2", "dag-processor"),
        *("triggerer", "triggerer-2", "triggerer-3", "worker"),
    ]
    assert {component.log_file for component in made} == {tmp_path / "logs" / f"{c.name}.log" for c in made}
    assert "worker" not in {component.name for component in airflow_components(site(tmp_path), {}, Wishes())}


@pytest.mark.parametrize("wrong", [{"schedulers": 0}, {"triggerers": 17}, {"triggerers": -1}, {"executor": "dask"}])
def test_what_cannot_be_had_is_refused(wrong: dict[str, object]) -> None:
    """Before anything is started."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Wishes(**wrong)  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.parametrize("wrong", [["--schedulers", "0"], ["--triggerers", "two"], ["--executor", "dask"]])
def test_a_wrong_option_is_wrong_usage(wrong: list[str]) -> None:
    """As of every command."""
    assert CliRunner().invoke(_application("up"), ["up", *wrong]).exit_code == 2


def test_celery_gets_its_broker_and_the_database(tmp_path: Path) -> None:
    """Whatever executor the environment names, for it was asked for; without it, nothing is said of Celery."""
    inherited = {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}
    made = component_environment(site(tmp_path, "redis://:x@h:1/0"), inherited)
    assert made["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert made["AIRFLOW__CELERY__BROKER_URL"] == "redis://:x@h:1/0"
    assert made["AIRFLOW__CELERY__RESULT_BACKEND"] == "db+postgresql+psycopg2://u:p@h/d"
    assert "AIRFLOW__CELERY__BROKER_URL" not in component_environment(site(tmp_path), inherited)


# -- Redis ------------------------------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_redis_is_private_and_keeps_what_is_queued(tmp_path: Path) -> None:
    """It answers who knows the password, which is in no list of processes, and has the same one after a restart."""
    urls = []
    home = Home(tmp_path / "a home, \u00fcberall")
    home.path.mkdir()
    for _ in range(2):
        redis = Redis(home)
        command = redis.prepare()
        urls.append(redis.url)
        child = Child(command, log_file=tmp_path / "log", environment=dict(os.environ), directory=tmp_path)
        try:
            wait_for(redis.answers, "Redis")
            redis._facts["password"] = "another"
            assert not redis.answers()
        finally:
            end([child.identity], grace_seconds=10)
        assert child.exit_code() == 0
        assert not redis.answers()
    assert urls[0] == urls[1]
    password = urls[0].split(":")[2].partition("@")[0]
    assert password not in " ".join(command)
    for file in ("facts.json", "redis.conf"):
        assert (home.path / "redis" / file).stat().st_mode & 0o077 == 0
    assert (home.path / "redis" / "appendonlydir").is_dir()


def test_without_redis_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install redis-server"):
        Redis(Home(tmp_path)).prepare()


# -- signs of life ----------------------------------------------------------------------------------------------------


def test_a_process_is_called_by_its_component(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Airflow's tables, where ./millrace runs it; elsewhere by its machine."""
    monkeypatch.delenv(COMPONENT, raising=False)
    assert hostname_of("triggerer-2") == f"triggerer-2.{hostname()}"
    monkeypatch.setenv(COMPONENT, "triggerer-2")
    assert hostname().startswith("triggerer-2.")


@pytest.mark.fresh_database
def test_each_is_judged_by_its_own_last_sign(database_url: str, db: DictConnection) -> None:
    """Neither the other one of its kind, nor the process that had its place before, says anything about it.

    One that has given none for longer than it takes to start is not starting any more.
    """
    db.execute(
        "create table public.job (id serial, job_type text, hostname text, state text, start_date timestamptz,"
        " latest_heartbeat timestamptz)"
    )
    me = Identity.of(os.getpid())
    assert me is not None
    began = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=10)

    def sign(name: str, started: datetime, seconds_ago: float) -> None:
        db.execute(
            "insert into public.job (job_type, hostname, state, start_date, latest_heartbeat)"
            " values ('TriggererJob', %s, 'running', %s, now() - make_interval(secs => %s))",
            (hostname_of(name), started, seconds_ago),
        )

    names = ("scheduler", "triggerer", "triggerer-2", "triggerer-3", "worker")
    just_begun = datetime.now(timezone.utc).isoformat()
    components = {name: Component(me, began.isoformat(), 0) for name in names}
    components["triggerer-4"] = Component(Identity(me.pid, "before"), began.isoformat(), 0)
    components["triggerer-5"] = Component(me, just_begun, 0)
    sign("scheduler", began, 3)
    sign("triggerer", began, 40)
    sign("triggerer-2", began - timedelta(days=1), 1)
    sign("triggerer-2", began, 2)
    sign("triggerer-3", began - timedelta(seconds=1), 0)
    assert states(database_url, components) == {
        **{"scheduler": "healthy", "triggerer": "unhealthy", "triggerer-2": "healthy"},
        **{"triggerer-3": "unhealthy", "worker": "running", "triggerer-4": "down", "triggerer-5": "starting"},
    }
    assert states("postgresql://u:p@127.0.0.1:1/d", components)["scheduler"] == "unknown"


def test_one_that_hangs_is_given_up_after_minutes() -> None:
    """And not before, nor if it has given a sign meanwhile."""
    patience = Patience()
    well: dict[str, State] = {"scheduler": "healthy", "triggerer-2": "healthy"}
    hung: dict[str, State] = {**well, "triggerer-2": "unhealthy"}
    assert patience.exhausted(hung, 0) == []
    assert patience.exhausted(hung, GIVEN_UP_SECONDS - 1) == []
    assert patience.exhausted(hung, GIVEN_UP_SECONDS) == ["triggerer-2"]
    assert patience.exhausted(well, GIVEN_UP_SECONDS + 1) == []
    assert patience.exhausted(hung, GIVEN_UP_SECONDS + 2) == []


@pytest.mark.parametrize("state", ["unhealthy", "unknown"])
def test_nobody_is_given_up_while_all_are_silent(state: State) -> None:
    """Then it is the database, or the machine; and the wait begins anew when the first one speaks."""
    patience = Patience()
    all_silent = {"scheduler": state, "triggerer": state}
    assert patience.exhausted(all_silent, 0) == []
    assert patience.exhausted(all_silent, 10 * GIVEN_UP_SECONDS) == []
    one_speaks: dict[str, State] = {"scheduler": "healthy", "triggerer": "unhealthy"}
    assert patience.exhausted(one_speaks, 10 * GIVEN_UP_SECONDS + 1) == []
