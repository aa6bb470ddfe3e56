"""Connectors and workflows in the whole system, really started: from the source to each user's receiver."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def rest(receiver: Receiver, path: str) -> dict[str, Any]:
    """The configuration of a connector that pulls one page of the receiver's."""
    return {"base_url": receiver.url(path), "primary_key": "id", "data_selector": "items", "paginator": "single_page"}


def add_connector(system: System, receiver: Receiver, name: str, **columns: object) -> int:
    given = {"name": name, "kind": "rest", "every": "1 second", "config": rest(receiver, f"/{name}"), **columns}
    return system.insert("connector", **given)


def add_workflow(system: System, connector: int, url: str, name: str, **columns: object) -> int:
    given = {"kind": "webhook", "payload": {"url": url}, "every": "1 second", "start_from": "beginning", **columns}
    return system.insert("workflow", name=name, connector_id=connector, **given)


def positions(receiver: Receiver, path: str) -> list[int]:
    return [int(str(key).split(":")[2]) for _, _, key in receiver.to(path)]


def test_records_are_pulled_and_reach_each_users_receiver(system: System, receiver: Receiver) -> None:
    """A row pulls; each user's workflow sends what is new, in order, once; the lag is nought."""
    receiver.pages["/things"] = {"items": [{"id": n, "kind": "ab"[n % 2]} for n in range(1, 21)]}
    connector = add_connector(system, receiver, "things")
    ann = add_workflow(system, connector, receiver.url("/ann"), "all", owner="ann@example.com")
    add_workflow(system, connector, receiver.url("/bob"), "some", owner="bob@example.com", filter='$.kind == "a"')
    wait_for(lambda: len(receiver.to("/ann")) == 20 and len(receiver.to("/bob")) == 10, "call")
    receiver.pages["/things"]["items"] += [{"id": n, "kind": "a"} for n in range(21, 24)]
    wait_for(lambda: len(receiver.to("/ann")) == 23 and len(receiver.to("/bob")) == 13, "call for what is new")
    assert positions(receiver, "/ann") == list(range(1, 24))
    assert receiver.to("/ann")[0][2] == f"{ann}:{connector}:1"
    assert json.loads(receiver.bodies["/ann"][4])["payload"] == {"id": 5, "kind": "b"}
    lag = json.loads(system.millrace("workflows", "lag", "--json").stdout)
    assert {row["lag_records"] for row in lag} == {0}
    tags = {tag["name"] for tag in system.api("GET", f"/dags/workflow_{ann}")["tags"]}
    assert tags == {"workflow", "webhook", "connector:things", "owner:ann@example.com"}
    system.sql("delete from workflow; delete from connector where name = 'things'")


def test_a_killed_triggerer_loses_no_record(system: System, receiver: Receiver) -> None:
    """Killed with SIGKILL in the middle of the work: every record arrives, in order, at most the one in hand twice."""
    connector = system.insert("connector", name="many", kind="webhook")
    items = [{"key": str(n), "payload": {"n": n}} for n in range(1, 3001)]
    system.sql("select append_records(%s, %s)", connector, json.dumps(items))
    add_workflow(system, connector, receiver.url("/many"), "many")
    wait_for(lambda: len(receiver.to("/many")) >= 100, "call")
    os.kill(system.process("triggerer"), signal.SIGKILL)
    wait_for(lambda: positions(receiver, "/many")[-1:] == [3000], "last record", seconds=180)
    arrived = positions(receiver, "/many")
    assert sorted(set(arrived)) == list(range(1, 3001))
    assert len(arrived) <= 3001
    assert arrived == sorted(arrived)
    system.sql("delete from workflow; delete from connector where name = 'many'")


def test_a_connector_that_fails_shows_red_and_recovers(system: System, receiver: Receiver) -> None:
    """After its failures in a row its run is failed in Airflow, and the row says why; mended, it pulls again."""
    receiver.answers["/broken"] = [500] * 99
    receiver.pages["/broken"] = {"items": [{"id": 1}]}
    connector = add_connector(system, receiver, "broken", alert_after=1)
    runs = f"/dags/connector_{connector}/dagRuns"
    wait_for(
        lambda: system.sql("select 1 from connector where failing_since is not null and id = %s", connector), "alarm"
    )
    wait_for(lambda: any(run["state"] == "failed" for run in system.api("GET", runs)["dag_runs"]), "failed run")
    assert "500" in system.millrace("connectors", "show", "broken").stdout
    receiver.answers["/broken"] = []
    ran = system.millrace("connectors", "run", "broken", "--wait")  # or wait for the next probe
    assert ran.returncode == 0, ran.stderr
    assert system.sql("select head, failures, last_error from connector where id = %s", connector) == [
        {"head": 1, "failures": 0, "last_error": None}
    ]
    system.sql("delete from connector where id = %s", connector)


def test_python_of_ones_own_runs_on_a_worker(system: System) -> None:
    """A connector that names a generator pulls with it, by hand or by its interval; its run has a log in Airflow."""
    config = {"function": "example:count", "arguments": {"up_to": 12}}
    connector = system.insert("connector", name="counted", kind="python", config=config)
    wait_for(lambda: system.sql("select 1 from public.dag where dag_id = %s", f"connector_{connector}"), "DAG")
    ran = system.millrace("connectors", "run", "counted", "--wait")
    assert ran.returncode == 0, ran.stderr
    assert system.sql("select head, cursor from connector where id = %s", connector) == [{"head": 12, "cursor": 12}]


def test_pushed_records_are_stored_by_airflows_api_server(system: System) -> None:
    """A delivery signed with the secret of an Airflow connection is stored once, by whichever of its addresses; one
    that is not is refused, and the log says why."""
    system.api("POST", "/connections", {"connection_id": "hook", "conn_type": "generic", "password": "open sesame"})
    config = {"verify": "bearer", "conn_id": "hook", "primary_key": "id"}
    connector = system.insert("connector", name="pushed here", kind="webhook", config=config)
    urls = [f"{system.facts['url']}/millrace/hooks/{address}" for address in (connector, "pushed here")]
    signed = {"Authorization": "Bearer open sesame"}
    answers = [requests.post(url, json=[{"id": 1}, {"id": 2}], headers=signed, timeout=30) for url in urls]
    assert [(answer.status_code, answer.json()["positions"]) for answer in answers] == [(202, [1, 2])] * 2
    refused = requests.post(urls[0], json={"id": 3}, headers={"Authorization": "Bearer open"}, timeout=30)
    assert refused.status_code == 401
    assert system.sql("select head from connector where id = %s", connector) == [{"head": 2}]
    shown = wait_for(lambda: _events(system, "pushed here"), "asset event")
    assert shown == [{"connector": "pushed here", "records": 2, "head": 2}]
    logged = system.millrace("logs", "api-server", "-n", "5000").stdout
    assert f"connector {connector}: the token in Authorization is not the right one" in logged
    assert "open sesame" not in logged


def _events(system: System, connector: str) -> list[Any]:
    """The events of a connector's asset, as Airflow's API shows them."""
    events = system.api("GET", "/assets/events?limit=100")["asset_events"]
    return [event["extra"] for event in events if event["extra"].get("connector") == connector]


def test_a_workflow_by_hand_and_its_dead_letters(system: System, receiver: Receiver) -> None:
    """What a receiver refuses is a dead letter that can be redriven from the command line."""
    connector = system.insert("connector", name="by hand", kind="webhook")
    system.sql(
        "insert into record (connector_id, key, payload) values (%s, 'a', '1'), (%s, 'b', '2')", connector, connector
    )
    receiver.answers["/refuses"] = [400]
    workflow = add_workflow(system, connector, receiver.url("/refuses"), "refused", every="1 day")
    wait_for(lambda: system.sql("select 1 from public.dag where dag_id = %s", f"workflow_{workflow}"), "DAG")
    began = datetime.now(timezone.utc)
    ran = system.millrace("workflows", "run", str(workflow), "--wait")
    assert ran.returncode == 0, ran.stderr
    assert positions(receiver, "/refuses") == [1, 2]
    [letter] = json.loads(system.millrace("dead-letters", "list", "--workflow", "refused", "--json").stdout)
    redriven = system.millrace("dead-letters", "redrive", str(letter["id"]))
    assert redriven.returncode == 0, redriven.stderr
    assert system.millrace("workflows", "run", str(workflow), "--wait").returncode == 0
    assert positions(receiver, "/refuses") == [1, 2, 1]
    assert all(call[0] > began for call in receiver.to("/refuses"))
    assert json.loads(system.millrace("dead-letters", "list", "--workflow", "refused", "--json").stdout) == []
