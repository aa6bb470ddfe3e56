"""What docker-compose.yaml starts, started without containers: its commands, environments and health checks."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from include.local.home import PROJECT
from include.local.ports import next_free_port
from include.local.postgres import Postgres
from include.local.processes import Child, end
from tests.compose_file import EXAMPLE, compose, environment_of, instructions

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
PATIENCE_SECONDS = 180  # a hang is said by name


class Containers:
    """The services as processes of this machine: where the image has a path or a name, it is one of here."""

    def __init__(self, place: Path, server: Postgres) -> None:
        self.place = place
        self.database_url = server.url("compose")
        self.url = f"http://127.0.0.1:{next_free_port(18080, '127.0.0.1')}"
        self.secrets = {name: secrets.token_hex(16) for name, value in EXAMPLE.items() if not value}
        self.secrets["AIRFLOW__CORE__FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self.services: dict[str, Any] = compose(**self.secrets)["services"]
        (place / "bin").mkdir()
        [wrapper] = [rest for name, rest in instructions() if name == "RUN" and "/usr/local/bin/millrace" in rest]
        text = wrapper.partition("printf '")[2].partition("'")[0].replace("\\n", "\n")
        (place / "bin" / "millrace").write_text(text)
        (place / "bin" / "millrace").chmod(0o755)

    def environment(self, service: str) -> dict[str, str]:
        """That of the container, with the host's names."""
        address = self.database_url.partition("://")[2]
        port = self.url.rpartition(":")[2]
        of_here = {
            f"millrace:{self.secrets['POSTGRES_PASSWORD']}@postgres:5432/millrace": address,
            "/opt/millrace": str(PROJECT),
            "/opt/airflow": str(self.place),
            "http://api-server:8080": self.url,
        }
        found = environment_of(self.services[service], **self.secrets, MILLRACE_EGRESS_ALLOW="127.0.0.0/8")
        for there, here in of_here.items():
            found = {name: value.replace(there, here) for name, value in found.items()}
        path = (str(self.place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        listening = {"AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__API__PORT": port, "AIRFLOW__API__BASE_URL": self.url}
        return {"PATH": os.pathsep.join(path), "HOME": str(self.place), **found, **listening}

    def run(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the service's container until it ends."""
        return subprocess.run(
            command,
            env=self.environment(service),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def start(self, service: str) -> Child:
        return Child(
            self.services[service]["command"],
            log_file=self.place / f"{service}.log",
            environment=self.environment(service),
            directory=PROJECT,
        )

    def is_healthy(self, service: str) -> bool:
        kind, *command = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        there = "http://127.0.0.1:8080"
        return self.run(service, *(word.replace(there, self.url) for word in command)).returncode == 0


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory, server: Postgres) -> Containers:
    """Nothing runs yet but PostgreSQL, and its database is empty."""
    server.create_database("compose")
    return Containers(tmp_path_factory.mktemp("compose"), server)


@pytest.fixture(scope="module")
def migrated(containers: Containers) -> str:
    """What the job `migrate` said on an empty database."""
    ran = containers.run("migrate", *containers.services["migrate"]["command"])
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def running(containers: Containers, migrated: str) -> Iterator[dict[str, Child]]:
    """All components of the default profile."""
    started = {name: containers.start(name) for name in COMPONENTS}
    yield started
    end([child.identity for child in started.values()], grace_seconds=60)
    ended = {name: child.exit_code() for name, child in started.items()}
    # Airflow's triggerer often misses the end of its child, and is killed once that is gone: `end` says so.
    del ended["triggerer"]
    assert -signal.SIGKILL not in ended.values(), ended


def test_the_job_migrate_makes_an_empty_database_ready(containers: Containers, migrated: str) -> None:
    """Airflow's tables, ours, and FAB's admin; the next time there is nothing to do."""
    assert "user admin was made" in migrated
    with psycopg.connect(containers.database_url) as db:
        found = db.execute(
            "select u.username, r.name from public.ab_user u join public.ab_user_role ur on ur.user_id = u.id"
            " join public.ab_role r on r.id = ur.role_id"
        ).fetchall()
        assert found == [("admin", "Admin")]
        assert db.execute("select count(*) from millrace.job").fetchone() == (0,)
        assert db.execute("select count(*) from public.dag_run").fetchone() == (0,)
    again = containers.run("migrate", *containers.services["migrate"]["command"])
    assert (again.returncode, again.stdout) == (0, "the database is ready\n"), again.stderr


def test_without_a_database_the_job_fails_in_a_line(containers: Containers) -> None:
    """So that Compose starts nothing else."""
    nowhere = {**containers.environment("migrate"), "MILLRACE_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}
    command = containers.services["migrate"]["command"]
    ran = subprocess.run(command, env=nowhere, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the database cannot be reached")


def test_all_components_come_up_healthy_and_work(containers: Containers, running: dict[str, Child]) -> None:
    """By the health checks of the file; the admin logs in with the password of `.env`, and a job runs."""
    assert not containers.is_healthy("scheduler")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ill := [name for name in COMPONENTS if not containers.is_healthy(name)]:
        assert time.monotonic() < deadline, ill
        ended = [name for name, child in running.items() if child.exit_code() is not None]
        assert not ended, [(containers.place / f"{name}.log").read_text()[-2000:] for name in ended]
        time.sleep(1)
    login = {"username": "admin", "password": containers.secrets["MILLRACE_PASSWORD"]}
    assert requests.post(f"{containers.url}/auth/token", json=login, timeout=30).status_code == 201
    ping = f"url={containers.url}/millrace/health/live"
    added = containers.run("api-server", "millrace", "jobs", "add", "heartbeat", "ping", "--set", ping)
    assert added.returncode == 0, added.stderr
    ran = containers.run("api-server", "millrace", "jobs", "run", "heartbeat", "--wait")
    assert ran.returncode == 0, ran.stdout + ran.stderr
