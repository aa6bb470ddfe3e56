"""Settings of a job that are tried out in the whole system."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real_system import Receiver, System, wait_for
from tests.test_api_job_runs_e2e import Client

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

# Jobs, and executions of no job: those of other tests go on meanwhile.
COUNTS = (
    "select (select count(*) from job) as jobs,"
    " (select count(*) from execution e where not exists (select from job j where j.id = e.job_id)) as executions"
)


def tried(client: Client, settings: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a trial, once it has ended."""
    answer = wait_for(lambda: (said := client.send("POST", "/jobs/trial", settings)).status_code != 503 and said, "DAG")
    assert answer.status_code in (200, 202), answer.text
    made: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        return made

    def ended() -> dict[str, Any] | None:
        said: dict[str, Any] = client.send("GET", answer.headers["location"]).json()
        return said if said["status"] != "running" else None

    found: dict[str, Any] = wait_for(ended, "end of the trial")
    return found


def test_settings_are_tried_without_a_job(system: System, receiver: Receiver) -> None:
    """In the API's process or on a worker, each is run once; neither a job nor an execution is left."""
    client = Client(system)
    before = system.sql(COUNTS)
    hook = tried(client, {"kind": "webhook", "payload": {"url": receiver.url("/trial"), "body": {"n": 1}}})
    assert (hook["status"], hook["code"], receiver.bodies["/trial"]) == ("success", 200, [b'{"n":1}'])
    key = tried(client, {"kind": "shell", "payload": {"command": "echo $MILLRACE_KEY; env | grep -c FERNET || true"}})
    assert (key["status"], key["output"]["excerpt"].split()) == ("success", [f"trial_{key['id']}", "0"])
    wrong = tried(client, {"kind": "shell", "payload": {"command": "exit 3"}, "retries": 5})
    assert (wrong["status"], wrong["code"], len(wrong["attempts"])) == ("failed", 3, 1)
    runs = system.api("GET", "/dags/millrace_trial/dagRuns")["dag_runs"]
    assert sorted(run["conf"]["trial"] for run in runs) == [key["id"], wrong["id"]]
    wait_for(
        lambda: {run["state"] for run in system.api("GET", "/dags/millrace_trial/dagRuns")["dag_runs"]} == {"success"},
        "end of the runs",
    )
    after = system.sql(COUNTS)
    assert after == before
