"""`./millrace up` with Airflow's FAB auth manager, whose users are rows in the database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).parent.parent
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
JOB = {"name": "heartbeat", "kind": "ping", "payload": {"url": "http://127.0.0.1:9/"}}

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

Millrace = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def millrace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Millrace]:
    """The command, with a system of its own that is up."""
    environment = {
        **os.environ,
        "MILLRACE_HOME": str(tmp_path_factory.mktemp("fab")),
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "millrace", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    started = run("up", "--detach", "--no-demo")
    assert started.returncode == 0, started.stdout + started.stderr
    yield run
    assert run("down").returncode == 0


def log_in(facts: dict[str, Any]) -> requests.Session:
    login = {"username": facts["user"], "password": facts["password"]}
    answer = requests.post(f"{facts['url']}/auth/token", json=login, timeout=30)
    assert answer.status_code == 201, answer.text
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return session


def test_a_system_with_fab_is_up_and_lets_its_admin_in(millrace: Millrace) -> None:
    """Tables and admin are there; the token of /auth/token serves both APIs; the commands log in by themselves."""
    facts = json.loads(millrace("status", "--json").stdout)
    jobs = f"{facts['url']}/millrace/api/v1/jobs"
    assert requests.get(jobs, timeout=30).status_code == 401
    with log_in(facts) as session:
        made = session.post(jobs, json=JOB, timeout=30)
        assert (made.status_code, made.json()["owner"]) == (201, "admin")
        assert session.get(f"{facts['url']}/api/v2/dags", timeout=30).status_code == 200
    ran = millrace("jobs", "run", "heartbeat")
    assert ran.returncode == 0, ran.stderr


def test_a_cookie_changes_nothing_from_another_site(millrace: Millrace) -> None:
    """As with the simple auth manager: a page of ours may, another one may not."""
    facts = json.loads(millrace("status", "--json").stdout)
    jobs = f"{facts['url']}/millrace/api/v1/jobs"
    with log_in(facts) as session:
        cookie = {"_token": str(session.headers["Authorization"]).removeprefix("Bearer ")}
    for origin, status in ((facts["url"], 201), ("https://evil.example", 403)):
        job = {**JOB, "name": origin}
        answer = requests.post(jobs, json=job, cookies=cookie, headers={"Origin": origin}, timeout=30)
        assert answer.status_code == status, answer.text


def test_the_password_is_in_no_log(millrace: Millrace) -> None:
    """It is made up once, told to FAB, and shown to who starts the system; logs do not have it."""
    facts = json.loads(millrace("status", "--json").stdout)
    shown = millrace("logs", "--lines", "100000")
    assert shown.stdout
    assert facts["password"] not in shown.stdout
