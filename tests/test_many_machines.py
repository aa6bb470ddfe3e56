"""Two schedulers, two triggerers and a Celery worker, as on many machines: they share the work, and survive each other.

What was measured is printed (`pytest -s`); what is asserted does not depend on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import psutil
import pytest

from include.local.environment import read_settings
from tests.real_system import Receiver, System, started, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

PROMISE = timedelta(seconds=10)
THRESHOLD = timedelta(seconds=float(read_settings()["AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD"]))
TRIGGERERS = ("triggerer", "triggerer-2")
SECOND = timedelta(seconds=1)
STEPS = (("redis", "worker", "dag-processor"), ("api-server", "scheduler", "triggerer"), ("scheduler-2", "triggerer-2"))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    options = ("--schedulers", "2", "--triggerers", "2", "--executor", "celery")
    with started(tmp_path_factory.mktemp("many machines"), *options) as system:
        yield system


def components(system: System) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(system.millrace("status", "--json").stdout)["components"]
    return found


def wait_until_well(system: System) -> None:
    wait_for(
        lambda: all(facts["state"] in ("healthy", "running") for facts in components(system).values()),
        "health of every component",
        180,
    )


def firing(system: System, receiver: Receiver, name: str, number: int = 3, **columns: object) -> list[int]:
    """Jobs that post every second, and have begun to."""
    ids = [
        system.add(f"{name} {place}", receiver.url(f"/{name}/{place}"), every="1 second", **columns)
        for place in range(number)
    ]
    wait_for(lambda: all(receiver.to(f"/{name}/{place}") for place in range(number)), f"first calls of {name}", 120)
    return ids


def holder(system: System, job_id: int) -> dict[str, Any] | None:
    """The triggerer that has the job's shift: its component, number and last heartbeat, and the time."""
    found = system.sql(
        "select j.id, split_part(j.hostname, '.', 1) as component, j.latest_heartbeat as heartbeat, now() as now"
        " from public.trigger t join public.job j on j.id = t.triggerer_id"
        " join public.task_instance i on i.trigger_id = t.id where i.dag_id = %s order by t.id desc limit 1",
        f"job_{job_id}",
    )
    return found[0] if found else None


def taken_over(system: System, job_id: int, before: dict[str, Any]) -> dict[str, Any]:
    """Who has the job's shift after `before`."""

    def another() -> dict[str, Any] | None:
        now = holder(system, job_id)
        return now if now is not None and now["id"] != before["id"] else None

    found: dict[str, Any] = wait_for(another, "takeover", 120)
    return found


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def gap(receiver: Receiver, path: str, since: datetime) -> float:
    """The longest time without a call, in seconds."""
    at = [since, *(call[0] for call in receiver.to(path) if call[0] > since)]
    return max((later - earlier).total_seconds() for earlier, later in pairwise(at))


def rows(system: System, job_id: int, since: datetime | None = None) -> list[dict[str, Any]]:
    return system.sql(
        "select scheduled_for, status, reason, attempt, attempts, started_at from execution"
        " where job_id = %s and scheduled_for >= coalesce(%s::timestamptz, '-infinity') order by scheduled_for",
        job_id,
        since,
    )


def fires(system: System, job_id: int, since: datetime) -> list[dict[str, Any]]:
    return [row for row in rows(system, job_id, since) if row["status"] == "success"]


def stop_jobs(system: System, ids: list[int]) -> None:
    system.sql("update job set is_active = false where id = any(%s)", ids)


def test_both_kinds_of_work_are_done(machines: System, receiver: Receiver) -> None:
    """What a triggerer does and what a Celery worker does; every component is named, and its state known."""
    assert set(components(machines)) == {
        *("redis", "api-server", "scheduler", "scheduler-2", "dag-processor", *TRIGGERERS, "worker")
    }
    due = datetime.now(timezone.utc) + 20 * SECOND
    shell = machines.insert("job", name="shell", kind="shell", payload={"command": "echo done"}, run_at=due)
    ids = firing(machines, receiver, "both")
    [ran] = wait_for(lambda: [row for row in rows(machines, shell) if row["status"] == "success"], "shell", 180)
    assert ran["attempt"] == 1
    done = "select task_id from public.celery_taskmeta where status = 'SUCCESS'"
    wait_for(lambda: machines.sql(done), "Celery's word of it")
    assert machines.sql("select to_regclass('millrace.celery_taskmeta') as misplaced") == [{"misplaced": None}]
    stop_jobs(machines, ids)


def test_what_dies_is_replaced(machines: System, receiver: Receiver) -> None:
    """A triggerer and a scheduler at once: what the one had is fired by another, new jobs are armed by another."""
    ids = firing(machines, receiver, "killed")
    wait_until_well(machines)
    since = datetime.now(timezone.utc)
    before = wait_for(lambda: holder(machines, ids[0]), "a shift on duty")
    killed = {name: machines.pid(name) for name in (before["component"], "scheduler")}
    for pid in killed.values():
        os.killpg(pid, signal.SIGKILL)
    after = taken_over(machines, ids[0], before)
    assert after["now"] - before["heartbeat"] > THRESHOLD - SECOND, "nobody is robbed of what he has"
    fired = [wait_for(lambda job_id=job_id: fires(machines, job_id, after["now"]), "a fire") for job_id in ids]
    gaps = [gap(receiver, f"/killed/{place}", since) for place in range(3)]
    again = (fired[0][0]["started_at"] - before["heartbeat"]).total_seconds()
    print(f"killed {before['component']}: silent for {max(gaps):.1f} s; fired {again:.1f} s after its last sign")
    ids += firing(machines, receiver, "meanwhile", number=1)
    wait_until_well(machines)
    for name, pid in killed.items():
        assert components(machines)[name]["restarts"] == 1
        assert machines.pid(name) != pid
    stop_jobs(machines, ids)


def test_a_triggerer_that_is_stopped_hands_over_at_once(machines: System, receiver: Receiver) -> None:
    """Told to stop, it lets go of its shifts: others have them before its heartbeat is old."""
    ids = firing(machines, receiver, "stopped")
    early = False
    for _ in range(3):  # a busy machine may be slower than the threshold, but not each time
        wait_until_well(machines)
        since = datetime.now(timezone.utc)
        before = wait_for(lambda: holder(machines, ids[0]), "a shift on duty")
        os.kill(machines.pid(before["component"]), signal.SIGTERM)
        after = taken_over(machines, ids[0], before)
        last = machines.sql("select latest_heartbeat as at from public.job where id = %s", before["id"])[0]["at"]
        wait_for(lambda at=after["now"]: rows(machines, ids[0], at + SECOND), "a fire")
        gaps = [gap(receiver, f"/stopped/{place}", since) for place in range(3)]
        print(f"stopped {before['component']}: on another after {after['now'] - last}, silent for {max(gaps):.1f} s")
        if early := after["now"] - last < THRESHOLD:
            break
    assert early
    stop_jobs(machines, ids)


def test_a_triggerer_that_was_frozen_sends_nothing_again(machines: System, receiver: Receiver) -> None:
    """Frozen for longer than its lease, and taken over from, it wakes up and sends nothing that another has sent.

    Meanwhile it is shown as `unhealthy`, whatever the other one of its kind says.
    """
    ids = firing(machines, receiver, "frozen", overlap="allow")
    wait_until_well(machines)
    before = wait_for(lambda: holder(machines, ids[0]), "a shift on duty")
    frozen, frozen_at = family(machines.pid(before["component"])), datetime.now(timezone.utc)
    for process in frozen:
        process.suspend()
    try:
        after = taken_over(machines, ids[0], before)
        until = after["now"] + PROMISE
        wait_for(lambda: fires(machines, ids[0], until), "fires")
        wait_for(lambda: components(machines)[before["component"]]["state"] == "unhealthy", "a word of it", 120)
        assert components(machines)[after["component"]]["state"] == "healthy"
    finally:
        for process in frozen:
            process.resume()
    woken = datetime.now(timezone.utc)
    wait_for(lambda: rows(machines, ids[0], woken + 15 * SECOND), "fires")
    wait_until_well(machines)
    stop_jobs(machines, ids)
    calls = [call for place in range(3) for call in receiver.to(f"/frozen/{place}")]
    times = Counter(call[2] for call in calls)
    # What it was just about to send, its lease seen to be its own, goes out when it wakes up.
    about_to = int((frozen_at + SECOND).timestamp() * 1_000_000)
    assert {times[call[2]] for call in calls if call[0] > woken and int(call[2].split("_")[-1]) > about_to} == {1}
    for job_id in ids:
        made = rows(machines, job_id)
        assert max(Counter(row["scheduled_for"] for row in made).values()) == 1
        assert not [row for row in made if row["status"] in ("cancelled", "failed")]
        # What was under way when it froze, nobody knows to have been sent; so it is sent again, and says so.
        for row in made:
            key = f"job_{job_id}_{int(row['scheduled_for'].timestamp() * 1_000_000)}"
            assert times[key] <= row["attempt"]


def test_a_rolling_restart_loses_nothing(machines: System, receiver: Receiver) -> None:
    """Every component is stopped, never two of a kind at once, under load: each occurrence is executed, in one row."""
    ids = firing(machines, receiver, "rolling", misfire="all", overlap="allow")  # to be slow is not to be lost
    wait_until_well(machines)
    since = datetime.now(timezone.utc) + SECOND
    assert {name for step in STEPS for name in step} == set(components(machines))
    for step in STEPS:
        found = components(machines)
        stopped = {name: found[name]["pid"] for name in step}
        for pid in stopped.values():
            os.kill(pid, signal.SIGTERM)
        for name, pid in stopped.items():
            wait_for(lambda name=name, pid=pid: components(machines)[name]["pid"] != pid, f"{name} again", 120)
        wait_until_well(machines)
    until = datetime.now(timezone.utc)
    wait_for(lambda: all(rows(machines, job_id, until + 3 * SECOND) for job_id in ids), "fires")
    for place, job_id in enumerate(ids):
        made = [row for row in rows(machines, job_id, since) if row["scheduled_for"] < until]
        assert {later["scheduled_for"] - earlier["scheduled_for"] for earlier, later in pairwise(made)} == {SECOND}
        assert {row["status"] for row in made} == {"success"}
        print(f"rolling restart of {len(components(machines))}: {gap(receiver, f'/rolling/{place}', since):.1f} s")
    stop_jobs(machines, ids)
