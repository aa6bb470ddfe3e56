"""The trigger takes whatever it is given, ends with exactly one event, and never takes the triggerer down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.airflow_run import Deferred
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.triggers.base import TriggerEvent
from sqlalchemy.orm import Session

from include.orchestration.task_end import CONTROL
from include.orchestration.trigger import ShiftTrigger
from include.shifts import post
from include.store import shards
from include.store.db import DictConnection
from tests.airflow_rows import add_dag
from tests.fake_http import Handler, Server, serving

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

UTC = timezone.utc
Insert = Callable[..., int]


@pytest_asyncio.fixture
async def on_post(ours: DictConnection) -> AsyncIterator[None]:
    """What the shifts of this process share is closed after the test."""
    yield
    opened = post._posts.pop(asyncio.get_running_loop(), None)
    if opened is not None:
        await (await opened).close()


def status(code: int, **headers: str) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return handle


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Server]:
    """A real server, which answers by path."""

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    routes = {
        "/good": status(200),
        "/other": status(200),
        "/gone": status(404),
        "/busy": status(503, Retry_After="7"),
        "/down": status(500),
        "/slow": slow,
    }
    async with serving(routes) as listening:
        yield listening


def trigger(
    id: Any, *, by_hand: bool = True, due: datetime | None = None, conf: Any = None, **more: Any
) -> ShiftTrigger:
    """The trigger of a job's run, told of the run as the triggerer tells it."""
    due = due or datetime.now(UTC)
    run = SimpleNamespace(
        run_id=f"{'manual' if by_hand else 'scheduled'}__{due.isoformat()}",
        run_type="manual" if by_hand else "scheduled",
        logical_date=due,
        run_after=due,
        data_interval_end=due,
        conf=conf,
    )
    made = ShiftTrigger(**{"kind": "job", "id": id, **more})
    made.task_instance = SimpleNamespace(  # type: ignore[assignment]
        dag_id=f"job_{id}",
        task_id="fire",
        try_number=1,
        max_tries=0,
        task=SimpleNamespace(retries=3, template_fields=(), template_ext=()),
        get_template_context=lambda: {"dag_run": run},
    )
    return made


async def ended(trigger: ShiftTrigger) -> TriggerEvent:
    """The one event that the trigger ends with."""
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def how(event: TriggerEvent) -> tuple[str, dict[str, Any] | None]:
    """The state that an event ends the task in, and what it says about a retry."""
    return str(event.task_instance_state), event.xcoms.get(CONTROL)


def ledger(ours: DictConnection) -> list[dict[str, Any]]:
    return ours.execute("select * from execution order by scheduled_for").fetchall()


# -- what is no run of ours --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("on_post")
@pytest.mark.parametrize("id", [None, "x", [], {}, "1; drop table job", float("inf")])
async def test_what_breaks_off_is_a_failed_task(id: Any) -> None:
    """An exception within the shift does not leave the trigger: Airflow would send the task to a worker."""
    event = await ended(trigger(id))
    assert how(event)[0] == "failed"
    assert event.xcoms["return_value"] == "the shift broke off"


@pytest.mark.usefixtures("on_post")
@pytest.mark.parametrize("id", [2**70, -(2**70)])
async def test_an_id_that_no_row_can_have_ends_the_task(id: int) -> None:
    """As that of a deleted row does, or as what breaks off: PostgreSQL may look for the row before it judges the id."""
    assert how(await ended(trigger(id)))[0] in ("skipped", "failed")


async def test_a_trigger_without_a_run_is_a_failed_task() -> None:
    """Airflow makes triggers without a task instance, too: not of ours, but none may raise."""
    assert how(await ended(ShiftTrigger(kind="job", id=1)))[0] == "failed"


async def test_a_run_whose_row_has_become_one_for_workers_goes_on_there() -> None:
    """Such a task no longer starts from a trigger, so the triggerer knows little of it: it is handed to a worker."""
    made = ShiftTrigger(kind="job", id=1)
    made.task_instance = SimpleNamespace(task_id="fire")  # type: ignore[assignment]
    event = await ended(made)
    assert type(event) is TriggerEvent


# -- a shift's ending --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("on_post")
async def test_a_good_call_is_a_success(ours: DictConnection, insert: Insert, receiver: Server) -> None:
    """The run by hand calls at once, the ledger has it, and its line is the task's result."""
    id = insert(payload={"url": receiver.url("/good")})
    made = trigger(id)
    event = await ended(made)
    assert how(event) == ("success", None)
    (row,) = ledger(ours)
    assert (row["job_id"], row["status"], row["origin"]) == (id, "success", "manual")
    assert row["dag_run_id"] == made.task_instance.get_template_context()["dag_run"].run_id
    assert event.xcoms["return_value"] == row["output"]["line"]
    assert [received.path for received in receiver.received] == ["/good"]


@pytest.mark.usefixtures("on_post")
@pytest.mark.parametrize(
    ("path", "retries", "state", "control"),
    [
        ("/gone", 3, "failed", {"retry": False, "after_seconds": None}),
        ("/busy", 3, "failed", {"retry": True, "after_seconds": 7.0}),
        ("/down", 3, "failed", {"retry": True, "after_seconds": 2.0}),
        ("/down", 0, "failed", {"retry": False, "after_seconds": None}),
    ],
)
async def test_a_failure_says_whether_to_try_again(
    insert: Insert, receiver: Server, path: str, retries: int, state: str, control: dict[str, Any]
) -> None:
    """What a retry may mend is for Airflow to retry, after the wait that the server or the row asks for."""
    id = insert(payload={"url": receiver.url(path)}, retries=retries, retry_jitter=0)
    event = await ended(trigger(id))
    assert how(event) == (state, control)
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("on_post")
async def test_a_deleted_row_is_skipped(ours: DictConnection, insert: Insert) -> None:
    """A run whose row is gone ends as skipped, and nothing is written."""
    id = insert()
    ours.execute("delete from job where id = %s", (id,))
    event = await ended(trigger(id, by_hand=False))
    assert how(event)[0] == "skipped"
    assert "deleted" in event.xcoms["return_value"]
    assert ledger(ours) == []


@pytest.mark.usefixtures("on_post")
async def test_a_run_by_hand_may_override_the_payload(insert: Insert, receiver: Server) -> None:
    """The `conf` that a person triggers a run with replaces fields of the payload, and is validated like them."""
    id = insert(payload={"url": receiver.url("/good")})
    assert how(await ended(trigger(id, conf={"url": receiver.url("/other")})))[0] == "success"
    event = await ended(trigger(id, conf={"ulr": "http://127.0.0.1/"}))
    assert how(event) == ("failed", {"retry": False, "after_seconds": None})
    assert "ulr" in event.xcoms["return_value"]
    assert [received.path for received in receiver.received] == ["/other"]


@pytest.mark.usefixtures("on_post")
async def test_a_scheduled_run_waits_for_its_instant(ours: DictConnection, insert: Insert, receiver: Server) -> None:
    """The trigger is on duty before the occurrence is due, fires on the instant and not before."""
    due = datetime.now(UTC) + timedelta(seconds=0.4)
    id = insert(payload={"url": receiver.url("/good")}, run_at=due)
    event = await ended(trigger(id, by_hand=False, due=due, conf={"url": receiver.url("/other")}))
    assert how(event)[0] == "success"
    (row,) = ledger(ours)
    assert row["scheduled_for"] == due
    assert due <= row["started_at"] < due + timedelta(seconds=5)
    assert [received.path for received in receiver.received] == ["/good"]


# -- ended by others ---------------------------------------------------------------------------------------------------


async def under_way(trigger: ShiftTrigger, receiver: Server) -> asyncio.Task[TriggerEvent]:
    task = asyncio.create_task(ended(trigger))
    for _ in range(1000):
        if receiver.received:
            break
        await asyncio.sleep(0.01)
    return task


@pytest.mark.usefixtures("on_post")
async def test_a_run_that_a_person_ends_is_cancelled(ours: DictConnection, insert: Insert, receiver: Server) -> None:
    """Who marks a run in Airflow ends what it has under way, and the ledger says so."""
    id = insert(payload={"url": receiver.url("/slow")})
    made = trigger(id)
    task = await under_way(made, receiver)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await made.on_kill()
    (row,) = ledger(ours)
    assert row["status"] == "cancelled"
    assert row["reason"] == "the run was ended in Airflow"


@pytest.mark.parametrize(("every", "recalled"), [("1 second", True), ("10 minutes", False), (None, False)])
@pytest.mark.usefixtures("on_post", "airflow_session")
async def test_a_shift_that_a_person_ends_is_followed_at_once(
    ours: DictConnection, insert: Insert, receiver: Server, every: str | None, recalled: bool
) -> None:
    """Marking its run is no pause: the next run of the row is made now, and not when this one would have ended."""
    id = insert(payload={"url": receiver.url("/slow")}, every=every)
    add_dag(ours, f"job_{id}")
    ours.execute("update public.dag set next_dagrun_create_after = now() + interval '3 hours'")
    made = trigger(id, by_hand=every is None, due=datetime.now(UTC) + timedelta(seconds=1))
    task = asyncio.create_task(ended(made))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await made.on_kill()
    assert ours.execute("select next_dagrun_create_after <= now() as called from public.dag").fetchall() == [
        {"called": recalled}
    ]


@pytest.mark.usefixtures("on_post")
async def test_a_trigger_that_is_taken_away_leaves_its_work(
    ours: DictConnection, insert: Insert, receiver: Server
) -> None:
    """When the triggerer stops, a trigger ends without an event: the run goes on in another one."""
    id = insert(payload={"url": receiver.url("/slow")})
    task = await under_way(trigger(id), receiver)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = ledger(ours)
    assert row["status"] == "running"


@pytest.mark.parametrize("made", [ShiftTrigger(), ShiftTrigger(kind="job", id=1), ShiftTrigger(kind=[], id={})])
async def test_a_trigger_that_never_ran_can_be_killed(made: ShiftTrigger) -> None:
    """A run that is ended before its trigger got anywhere leaves nothing to record, and raises nothing."""
    await made.on_kill()


# -- all of it ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("on_post")
async def test_a_row_is_fired_by_way_of_airflow(
    airflow_session: Session, ours: DictConnection, insert: Insert, receiver: Server
) -> None:
    """Row, DAG, run, trigger, call, ledger, and back: a retried failure is a second try, which ends well."""
    due = datetime.now(UTC) + timedelta(seconds=0.3)
    id = insert(payload={"url": receiver.url("/down")}, run_at=due, retry_delay=timedelta(0))
    (job,) = shards.rows_by_id(ours, "job", [id])
    run = Deferred(airflow_session, job)
    assert run.run.run_id.startswith(f"scheduled__{due.isoformat()}")
    assert run.submit(await ended(run.trigger())).state == "up_for_retry"
    ours.execute("update job set payload = %s", (json.dumps({"url": receiver.url("/good")}),))
    run.schedule()
    task = run.submit(await ended(run.trigger()))
    assert (task.state, task.try_number) == ("success", 2)
    run.schedule()
    assert run.run.state == "success"
    (row,) = ledger(ours)
    assert (row["scheduled_for"], row["status"], row["attempt"]) == (due, "success", 2)
    assert (row["dag_run_id"], row["origin"], row["try_number"]) == (run.run.run_id, "schedule", 2)
    assert [received.path for received in receiver.received] == ["/down", "/good"]
    assert run.xcoms()["return_value"] == row["output"]["line"]
    assert run.count("callback") == 0
