"""The health check of containers: whether a component of this machine gives signs of life."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from include.local.alive import what_is_wrong
from include.local.home import PROJECT
from include.store.db import DictConnection


@pytest.fixture
def airflows_jobs(db: DictConnection) -> DictConnection:
    """Where Airflow's components write their signs of life, as far as they are read."""
    db.execute(
        "create table public.job (job_type text, hostname text, state text, latest_heartbeat timestamptz default now())"
    )
    return db


def add(db: DictConnection, hostname: str, silent_seconds: int = 0, state: str = "running") -> None:
    db.execute(
        "insert into public.job values ('SchedulerJob', %s, %s, now() - make_interval(secs => %s))",
        (hostname, state, silent_seconds),
    )


@pytest.mark.fresh_database
def test_a_component_is_judged_by_the_signs_of_its_own_machine(
    airflows_jobs: DictConnection, database_url: str
) -> None:
    """Others of its kind elsewhere, and those that ran here before, say nothing about it."""
    add(airflows_jobs, "here", silent_seconds=3600)
    add(airflows_jobs, "there")
    assert what_is_wrong("scheduler", database_url, "there") is None
    wrong = what_is_wrong("scheduler", database_url, "here")
    assert wrong is not None
    assert re.fullmatch(r"scheduler has been silent for 36\d\d s", wrong)
    assert what_is_wrong("triggerer", database_url, "there") == "no triggerer runs on there"
    add(airflows_jobs, "here")
    assert what_is_wrong("scheduler", database_url, "here") is None


@pytest.mark.fresh_database
def test_one_that_was_stopped_is_not_alive(airflows_jobs: DictConnection, database_url: str) -> None:
    """However short ago."""
    add(airflows_jobs, "here", state="success")
    assert what_is_wrong("scheduler", database_url, "here") == "no scheduler runs on here"


def test_without_a_database_it_is_not_alive() -> None:
    """And it says so in a line."""
    wrong = what_is_wrong("scheduler", "postgresql://u:p@127.0.0.1:1/d", "here")
    assert wrong is not None
    assert "cannot be reached" in wrong


@pytest.mark.parametrize("arguments", [[], ["postgres"], ["scheduler", "triggerer"]])
def test_another_component_is_wrong_usage(arguments: list[str]) -> None:
    """A health check that is misspelt is not one that passes."""
    command = [sys.executable, "-m", "include.local.alive", *arguments]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (
        2,
        "usage: python -m include.local.alive scheduler|dag-processor|triggerer\n",
    )
