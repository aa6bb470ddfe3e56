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

from tests.real_system import wait_for

ROOT = Path(__file__).parent.parent
FAB = "include.orchestration.auth_fab.MillraceFabAuthManager"
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


def log_in(facts: dict[str, Any], user: str = "", password: str = "") -> requests.Session:
    login = {"username": user or facts["user"], "password": password or facts["password"]}
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


def test_a_user_has_his_own_rows_in_airflow_too(millrace: Millrace) -> None:
    """A user whom the admin adds sees, runs and pauses the DAG of his row, and not that of another's."""
    facts = json.loads(millrace("status", "--json").stdout)
    airflow, jobs = f"{facts['url']}/api/v2/dags", f"{facts['url']}/millrace/api/v1/jobs"
    ann = {"username": "ann", "password": "of ann", "email": "ann@example.com", "first_name": "A", "last_name": "B"}
    with log_in(facts) as admin:
        made = admin.post(f"{facts['url']}/auth/fab/v1/users", json={**ann, "roles": [{"name": "User"}]}, timeout=30)
        assert made.ok, made.text
        others = admin.post(jobs, json={**JOB, "name": "the admin's"}, timeout=30).json()["dag_id"]
        wait_for(lambda: admin.get(f"{airflow}/{others}", timeout=30).ok, "DAG of the admin's")
    with log_in(facts, "ann", "of ann") as session:
        own = session.post(jobs, json=JOB, timeout=30).json()["dag_id"]
        wait_for(lambda: session.get(f"{airflow}/{own}", timeout=30).ok, "DAG of her own")
        assert [dag["dag_id"] for dag in session.get(airflow, timeout=30).json()["dags"]] == [own]
        for dag_id, status in ((own, 200), (others, 403), ("millrace_timers", 403)):
            assert session.get(f"{airflow}/{dag_id}", timeout=30).status_code == status
            started = session.post(f"{airflow}/{dag_id}/dagRuns", json={"logical_date": None}, timeout=30)
            paused = session.patch(f"{airflow}/{dag_id}", json={"is_paused": True}, timeout=30)
            assert (started.status_code, paused.status_code) == (status, status)


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
