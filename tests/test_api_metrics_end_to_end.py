"""Health and metrics of the whole system, really started."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest
import requests

from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def health(system: System) -> tuple[int, Any]:
    answer = requests.get(f"{system.facts['url']}/millrace/health", timeout=30)
    return answer.status_code, answer.json()


def metric(system: System, name: str) -> float:
    """The sum of the samples that begin so."""
    answer = requests.get(f"{system.facts['url']}/millrace/metrics", timeout=30)
    assert answer.status_code == 200, answer.text
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", answer.text, re.MULTILINE))


def test_a_running_system_is_healthy_and_counts_what_it_fires(system: System, receiver: Receiver) -> None:
    """Every part by its own heartbeat; executions, shifts on duty and the bundle by Airflow's own tables."""
    job_id = system.add("measured", receiver.url("/measured"), every="1 second")
    try:
        wait_for(lambda: receiver.to("/measured"), "call")
        wait_for(lambda: metric(system, "millrace_executions_total") > 0, "execution that is counted")
        wait_for(lambda: metric(system, "millrace_shifts_on_duty") > 0, "shift on duty")
        assert metric(system, "millrace_component_up") == 3
        assert metric(system, "millrace_bundle_refresh_age_seconds") < 900
        assert metric(system, "millrace_shard_build_age_seconds") > 0
        code, found = wait_for(lambda: (known := health(system))[1]["status"] == "healthy" and known, "health")
        assert code == 200
        assert {check["status"] for check in found["checks"].values()} == {"healthy"}
        assert found["checks"]["triggerer"]["latest_heartbeat"].endswith("Z")
    finally:
        system.sql("delete from job where id = %s", job_id)


def test_a_triggerer_that_is_gone_is_told_of(system: System) -> None:
    """Frozen, so that nobody replaces it: health is a 503 that names it. Killed, it is replaced, and all is well."""
    pid = system.pid("triggerer")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: health(system)[0] == 503, "word of it")
        checks = health(system)[1]["checks"]
        assert [name for name, check in checks.items() if check["status"] == "unhealthy"] == ["triggerer"]
        assert "nothing is fired" in checks["triggerer"]["detail"]
        assert metric(system, "millrace_component_up") == 2
        assert metric(system, "millrace_shifts_on_duty") == 0
        assert requests.get(f"{system.facts['url']}/millrace/health/live", timeout=30).status_code == 200
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: health(system)[0] == 200, "recovery")
