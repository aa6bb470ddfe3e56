"""The whole system, really started, keeps a connection's secret to itself: in its tables, its files and its answers."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests import canary
from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

# Where the keys themselves are kept, readable by their owner only.
KEYS = {"secrets.json"}


def ended(system: System, job_id: int) -> dict[str, Any] | None:
    rows = system.sql("select status, error from execution where job_id = %s and finished_at is not null", job_id)
    return rows[0] if rows else None


def test_a_secret_stays_in_its_connection(system: System, receiver: Receiver) -> None:
    """After runs that go well and badly, in the triggerer and on workers, it is in no table, no file and no answer."""
    secrets: dict[str, dict[str, Any]] = {
        "canary_hook": {"conn_type": "generic", "password": canary.KEY, "extra": json.dumps({"token": canary.TOKEN})},
        "canary_sql": {"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "login": canary.LOGIN},
        "canary_chat": {"conn_type": "slack", "extra": json.dumps({"base_url": receiver.url("/canary/")})},
    }
    receiver.answers["/canary/chat.postMessage"] = [500]
    for name, parts in secrets.items():
        system.api("POST", "/connections", {"connection_id": name, "password": canary.PASSWORD, **parts})
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "success": ("webhook", {"url": receiver.url("/canary"), "conn_id": "canary_hook"}),
        "a server that is not there": ("sql", {"conn_id": "canary_sql", "sql": "select 1"}),
        "a bad status": ("slack", {"conn_id": "canary_chat", "channel": "c", "text": "t"}),
        "arguments that do not fit": ("python", {"function": "example:greet", "conn_id": "canary_hook"}),
    }
    ids = {
        name: system.insert("job", name=f"canary: {name}", kind=kind, payload=payload, retries=0)
        for name, (kind, payload) in jobs.items()
    }
    for job_id in ids.values():
        wait_for(lambda job_id=job_id: system.sql("select 1 from public.dag where dag_id = %s", f"job_{job_id}"), "DAG")
        system.api("POST", f"/dags/job_{job_id}/dagRuns", {"logical_date": None})
    for name, job_id in ids.items():
        row = wait_for(lambda job_id=job_id: ended(system, job_id), f"end of {name}")
        assert (row["status"] == "success") == (name == "success"), (name, row)

    with psycopg.connect(system.facts["database_url"], autocommit=True, row_factory=dict_row) as db:
        assert canary.tables_with_secrets(db, "millrace", "public") == {}
    assert canary.seen_in(system.api("GET", "/connections?limit=100")) == []
    looked_at = 0
    for file in (system.checkout / ".millrace").rglob("*"):
        if file.is_file() and file.name not in KEYS and "postgres" not in file.relative_to(system.checkout).parts[1]:
            looked_at += 1
            assert canary.seen_in(file.read_bytes().decode("utf-8", "replace")) == [], file
    assert looked_at > len(jobs)
    for words in (["logs", "-n", "5000"], ["dead-letters", "list"], ["jobs", "show", str(ids["success"])]):
        said = system.millrace(*words)
        assert canary.seen_in([said.stdout, said.stderr]) == [], words
    for job_id in ids.values():
        system.sql("delete from job where id = %s", job_id)
