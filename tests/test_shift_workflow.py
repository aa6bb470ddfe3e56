"""A workflow's shift on a real database and a real receiver: order, watermark, failures."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from aiohttp import web

from include.shifts import workflow as workflow_shift
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.fake_http import Handler, Server
from tests.log_rows import add_connector, add_workflow, append, progress
from tests.shift_stage import answering, stage, until


def by_hand(workflow_id: int, run_id: str = "manual") -> Shift:
    return Shift(workflow_id, utcnow(), run_id, 1, by_hand=True, table="workflow")


async def process(post: Post, workflow_id: int) -> Ending:
    """Process all there is, as a run by hand does."""
    return await workflow_shift.stand(by_hand(workflow_id), post)


def bodies(server: Server) -> list[Any]:
    return [json.loads(received.body) for received in server.received]


def positions(server: Server) -> list[int]:
    """The positions that arrived, by webhook-id."""
    return [int(received.headers["webhook-id"].split(":")[2]) for received in server.received]


def refusing(*wrong: int, status: int = 400) -> Handler:
    """Refuse some positions, take the others."""

    async def handle(request: web.Request) -> web.StreamResponse:
        position = int(request.headers["webhook-id"].split(":")[2])
        return web.Response(status=status if position in wrong else 200)

    return handle


async def test_records_are_sent_in_order_one_after_another(database_url: str, db: DictConnection) -> None:
    """Each record is a call of its own, in order, and the next begins when the one before has ended."""
    under_way, most = 0, 0

    async def slow(_request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.Response()

    connector = add_connector(db)
    append(db, connector, [{"n": n} for n in range(1, 31)])
    async with stage(database_url, slow) as (post, server):
        workflow = add_workflow(db, connector, server.url())
        ending = await process(post, workflow)
    assert ending == Ending("success", "30 records processed, 0 failed")
    assert positions(server) == list(range(1, 31))
    assert most == 1
    assert [received.headers["webhook-id"] for received in server.received][:2] == [
        f"{workflow}:{connector}:1",
        f"{workflow}:{connector}:2",
    ]
    assert bodies(server)[4]["payload"] == {"n": 5}
    assert bodies(server)[4]["key"] == "k5"
    row = progress(db, workflow)
    assert (row["position"], row["processed"], row["failed"]) == (30, 30, 0)


async def test_the_payload_is_a_template(database_url: str, db: DictConnection) -> None:
    """Texts in the payload are filled in for each record; a lone expression keeps its type."""
    connector = add_connector(db, "issues")
    append(db, connector, [{"id": 7, "tags": ["a", "b"]}])
    body = {
        "id": "{{ record.payload.id }}",
        "tags": "{{ record.payload.tags }}",
        "who": "{{ owner }}: {{ record.key }}",
    }
    async with stage(database_url) as (post, server):
        payload = {"url": server.url("/{{ connector.name }}"), "body": body}
        workflow = add_workflow(db, connector, "", payload=payload, owner="ann@example.com")
        await process(post, workflow)
    assert bodies(server) == [{"id": 7, "tags": ["a", "b"], "who": "ann@example.com: k1"}]
    assert server.received[0].path == "/issues"


async def test_batches_go_in_one_call_each(database_url: str, db: DictConnection) -> None:
    """With batch_size 4, ten records are three calls, each with the key of its last record."""
    connector = add_connector(db)
    append(db, connector, list(range(1, 11)))
    async with stage(database_url) as (post, server):
        workflow = add_workflow(db, connector, server.url(), batch_size=4)
        await process(post, workflow)
    assert [[record["payload"] for record in body] for body in bodies(server)] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert positions(server) == [4, 8, 10]
    assert progress(db, workflow)["processed"] == 10


async def test_a_batch_that_was_in_hand_is_sent_again_as_it_was(database_url: str, db: DictConnection) -> None:
    """Records that came after the crash do not join the batch that was being sent: same key, same content."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url) as (post, server):
        workflow = add_workflow(db, connector, server.url(), batch_size=10)
        db.execute("update workflow_progress set in_hand = 3")  # as a process that died in the middle leaves it
        append(db, connector, [4, 5], first=4)
        await process(post, workflow)
    assert [[record["payload"] for record in body] for body in bodies(server)] == [[1, 2, 3], [4, 5]]


async def test_a_filter_passes_over_records(database_url: str, db: DictConnection) -> None:
    """Only records that match are sent; the watermark moves over the others as well."""
    connector = add_connector(db)
    append(db, connector, [{"n": n} for n in range(1, 21)] + [{"other": 1}])
    async with stage(database_url) as (post, server):
        workflow = add_workflow(db, connector, server.url(), filter="$.n > 3 && $.n < 6")
        none = add_workflow(db, connector, server.url(), "none", filter="$.n > 100")
        await process(post, workflow)
        await process(post, none)
    assert positions(server) == [4, 5]
    assert (progress(db, workflow)["position"], progress(db, workflow)["processed"]) == (21, 2)
    assert progress(db, none)["position"] == 21


async def test_a_refused_record_is_quarantined_and_the_rest_goes_on(database_url: str, db: DictConnection) -> None:
    """What the receiver refuses becomes a dead letter with its attempts; nothing else is held up."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, refusing(2)) as (post, server):
        workflow = add_workflow(db, connector, server.url())
        ending = await process(post, workflow)
    assert ending.line == "2 records processed, 1 failed"
    [letter] = db.execute("select * from dead_letter").fetchall()
    assert (letter["workflow_id"], letter["connector_id"], letter["position"]) == (workflow, connector, 2)
    assert letter["status"] == "dead"
    assert letter["attempts"][0]["code"] == 400
    row = progress(db, workflow)
    assert (row["position"], row["processed"], row["failed"]) == (3, 2, 1)


async def test_what_may_pass_is_tried_again(database_url: str, db: DictConnection) -> None:
    """A 503 is retried by the workflow's policy, with the same key and content."""
    connector = add_connector(db)
    append(db, connector, [1])
    async with stage(database_url, answering(503, 503, 200)) as (post, server):
        workflow = add_workflow(db, connector, server.url(), retries=2, retry_delay="10 milliseconds")
        ending = await process(post, workflow)
    assert ending.line == "1 records processed, 0 failed"
    assert positions(server) == [1, 1, 1]
    assert len({received.body for received in server.received}) == 1


async def test_redriving_sends_a_dead_letter_again(database_url: str, db: DictConnection) -> None:
    """Its attempts are appended; when it is taken, it is resolved. One that fails again is as dead as before."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, refusing(1, 2)) as (post, server):
        workflow = add_workflow(db, connector, server.url())
        await process(post, workflow)
    async with stage(database_url, refusing(2)) as (post, server):
        db.execute("update workflow set payload = jsonb_set(payload, '{url}', to_jsonb(%s::text))", (server.url(),))
        db.execute("update dead_letter set status = 'redriving'")
        await process(post, workflow)
    assert positions(server) == [1, 2]
    letters = db.execute("select * from dead_letter order by position").fetchall()
    assert [(letter["status"], len(letter["attempts"])) for letter in letters] == [("redriven", 2), ("dead", 2)]
    assert [attempt["attempt"] for attempt in letters[0]["attempts"]] == [1, 2]
    assert letters[0]["resolved_at"] is not None


async def test_rewinding_over_a_dead_letter_resolves_it(database_url: str, db: DictConnection) -> None:
    """A record that failed, and succeeds when its workflow is rewound over it, is no dead letter any more."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, answering(200, 400, 200)) as (post, server):
        workflow = add_workflow(db, connector, server.url())
        await process(post, workflow)
        db.execute("update workflow_progress set position = 0")
        await process(post, workflow)
    assert positions(server) == [1, 2, 3, 1, 2, 3]
    assert db.execute("select status from dead_letter").fetchall() == [{"status": "redriven"}]


async def test_stop_holds_at_the_record(database_url: str, db: DictConnection) -> None:
    """With on_error = stop nothing after the failed record is sent, until a person retries or skips it."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, answering(200, 400, 200)) as (post, server):
        workflow = add_workflow(db, connector, server.url(), on_error="stop")
        stopped = await process(post, workflow)
        again = await process(post, workflow)
        assert positions(server) == [1, 2]
        assert (stopped.state, again.state) == ("failed", "failed")
        assert progress(db, workflow)["stopped_at"] == 2
        db.execute("update workflow_progress set stopped_at = null, error = null")
        assert (await process(post, workflow)).state == "success"
    assert positions(server) == [1, 2, 2, 3]


async def test_skip_goes_on_and_counts(database_url: str, db: DictConnection) -> None:
    """With on_error = skip a failed record is counted, and there is no dead letter."""
    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, refusing(2)) as (post, server):
        workflow = add_workflow(db, connector, server.url(), on_error="skip")
        await process(post, workflow)
    row = progress(db, workflow)
    assert (row["position"], row["processed"], row["failed"]) == (3, 2, 1)
    assert db.execute("select from dead_letter").fetchall() == []


async def test_a_template_that_does_not_fit_a_record_is_that_records_failure(
    database_url: str, db: DictConnection
) -> None:
    """A record without the field that a template names is quarantined, and says which field."""
    connector = add_connector(db)
    append(db, connector, [{"id": 1}, {}, {"id": 3}])
    async with stage(database_url) as (post, server):
        payload = {"url": server.url(), "body": {"id": "{{ record.payload.id }}"}}
        workflow = add_workflow(db, connector, "", payload=payload)
        await process(post, workflow)
    assert bodies(server) == [{"id": 1}, {"id": 3}]
    [letter] = db.execute("select * from dead_letter").fetchall()
    assert letter["position"] == 2
    assert "id" in letter["error"]


async def test_two_runs_never_process_at_the_same_time(database_url: str, db: DictConnection) -> None:
    """A shift, a run by hand and one in another process share the work, one after another: no record twice."""
    under_way = 0

    async def alone(_request: web.Request) -> web.StreamResponse:
        nonlocal under_way
        under_way += 1
        crowd = under_way
        await asyncio.sleep(0.005)
        under_way -= 1
        return web.Response(status=200 if crowd == 1 else 418)

    connector = add_connector(db)
    append(db, connector, list(range(20)))
    async with stage(database_url, alone) as (post, server), stage(database_url) as (other, _):
        workflow = add_workflow(db, connector, server.url(), retries=0)
        shift = Shift(workflow, utcnow(), "shift", 1, table="workflow")
        duty = asyncio.create_task(workflow_shift.stand(shift, post))
        await asyncio.gather(process(post, workflow), process(other, workflow), process(other, workflow))
        await until(lambda: progress(db, workflow)["position"] == 20)
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)
    assert positions(server) == list(range(1, 21))
    assert progress(db, workflow)["failed"] == 0


async def test_a_slow_receiver_holds_up_its_own_workflow_only(database_url: str, db: DictConnection) -> None:
    """While one workflow's receiver does not answer, another one gets all its records."""
    stuck = asyncio.Event()

    async def by_path(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            await stuck.wait()
        return web.Response()

    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, by_path) as (post, server):
        slow = add_workflow(db, connector, server.url("/slow"), "slow")
        fast = add_workflow(db, connector, server.url("/fast"), "fast")
        waiting = asyncio.create_task(process(post, slow))
        await until(lambda: server.received)
        assert (await process(post, fast)).line == "3 records processed, 0 failed"
        assert progress(db, slow)["position"] == 0
        stuck.set()
        await waiting
    assert progress(db, slow)["position"] == 3


async def test_a_shift_goes_round_at_its_interval_until_it_is_relieved(database_url: str, db: DictConnection) -> None:
    """What is appended while a shift is on duty is sent at the next occurrence; the next shift takes over."""
    connector = add_connector(db)
    async with stage(database_url) as (post, server):
        workflow = add_workflow(db, connector, server.url())
        first = asyncio.create_task(workflow_shift.stand(Shift(workflow, utcnow(), "1", 1, table="workflow"), post))
        append(db, connector, [1, 2])
        await until(lambda: len(server.received) == 2)
        second = asyncio.create_task(
            workflow_shift.stand(Shift(workflow, utcnow() + timedelta(seconds=0.3), "2", 1, table="workflow"), post)
        )
        assert (await first).line == "2 records processed, 0 failed"
        append(db, connector, [3], first=3)
        await until(lambda: len(server.received) == 3)
        db.execute("delete from workflow")
        assert (await second).state == "skipped"
    assert positions(server) == [1, 2, 3]
