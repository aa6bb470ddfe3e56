"""The bench measures what it says it measures; the systems that it starts are not part of these tests."""

from __future__ import annotations

import argparse
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bench import usage
from bench.calls import Call, Window, occurrences, parse_calls, percentile, tally
from bench.result import KEYS, Result, table, verdicts
from bench.rows import NewJob, Rows, final
from bench.scenario import all_scenarios
from bench.sink import BadRequest, occurrence, parse
from bench.sink_process import Sink
from include.local.processes import Identity
from include.local.run import Component, Run
from include.model import Job
from include.shifts.execution import webhook_id
from include.store.rows import job_from_row

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


# -- the sink ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    running = Sink()
    yield running
    running.stop()


def connected(sink: Sink) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(sink.url.rsplit(":", 1)[1])), timeout=10)


def a_post(job_id: int, due: datetime = NOON, path: str = "/calls", body: str = '{"from": "a test"}') -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: sink\r\nWebhook-Id: {webhook_id(job_id, due)}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def read_answers(connection: socket.socket, count: int, status: bytes = b"HTTP/1.1 200 OK") -> None:
    received = b""
    while received.count(status) < count or not received.endswith(b"ok"):
        part = connection.recv(65_536)
        assert part, f"the sink closed the connection after {received!r}"
        received += part
    assert received.count(b"HTTP/1.1") == count


def test_the_sink_times_calls_of_a_kept_connection(sink: Sink) -> None:
    """Each call has the instant at which it came, its job, its due instant and its path."""
    sent: list[tuple[float, float]] = []
    with connected(sink) as connection:
        for number in range(3):
            before = time.time()
            connection.sendall(a_post(101, NOON + timedelta(seconds=number), f"/call/{number}"))
            read_answers(connection, 1)
            sent.append((before, time.time()))
            time.sleep(0.02)
    calls = sink.calls([101])
    assert [call.path for call in calls] == ["/call/0", "/call/1", "/call/2"]
    assert [call.due for call in calls] == [NOON.timestamp() + number for number in range(3)]
    for call, (before, after) in zip(calls, sent, strict=True):
        assert before <= call.arrival <= after


def test_the_sink_counts_pipelined_calls(sink: Sink) -> None:
    """Requests that come in one piece are all answered and all counted, in their order."""
    earlier = sink.count()
    with connected(sink) as connection:
        connection.sendall(b"".join(a_post(102, path=f"/{number}") for number in range(500)))
        read_answers(connection, 500)
    assert sink.count() == earlier + 500
    assert [call.path for call in sink.calls([102])] == [f"/{number}" for number in range(500)]


def test_a_call_that_comes_in_pieces_came_when_it_began(sink: Sink) -> None:
    """A call that begins too early is early, however long it takes; and it is one call."""
    whole = a_post(103)
    with connected(sink) as connection:
        began = time.time()
        for position in range(0, len(whole), 40):
            last_piece_at = time.time()
            connection.sendall(whole[position : position + 40])
            time.sleep(0.1)
        read_answers(connection, 1)
    (call,) = sink.calls([103])
    assert began <= call.arrival < last_piece_at


def test_the_sink_answers_who_wants_to_close(sink: Sink) -> None:
    """`Connection: close` is honoured after the answer."""
    with connected(sink) as connection:
        connection.sendall(a_post(104).replace(b"Host: sink", b"Host: sink\r\nConnection: close"))
        read_answers(connection, 1)
        assert connection.recv(1) == b""


def test_the_sink_refuses_what_it_does_not_understand(sink: Sink) -> None:
    """No call is made up from bytes that are no HTTP."""
    earlier = sink.count()
    with connected(sink) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")
        assert connection.recv(1) == b""
    assert sink.count() == earlier


def test_calls_are_handed_over_once(sink: Sink) -> None:
    """Asking again costs only what is new, and still returns everything."""
    with connected(sink) as connection:
        for number in range(2):
            connection.sendall(a_post(105, path=f"/{number}"))
            read_answers(connection, 1)
            assert len(sink.calls([105])) == number + 1


def test_a_slow_sink_can_fail(tmp_path: Path) -> None:
    """Latency and failures are options; what was seen is in the file at the end."""
    file = tmp_path / "calls.csv"
    slow = Sink(file, latency_ms=100, failures=1)
    try:
        with connected(slow) as connection:
            began = time.monotonic()
            connection.sendall(a_post(106))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 500")
            assert time.monotonic() - began >= 0.09  # timers of event loops are a millisecond or so coarse
    finally:
        slow.stop()
    assert [call.job_id for call in parse_calls(file.read_text())] == [106]


def test_a_request_is_parsed_only_when_it_is_whole() -> None:
    """Every shorter piece of it is not a request yet."""
    whole = a_post(1, path="/a,b?c=d")
    assert all(parse(whole[:end], 0) is None for end in range(len(whole)))
    request = parse(whole + whole, 0)
    assert request is not None
    assert (request.target, request.webhook_id, request.end) == ("/a,b?c=d", webhook_id(1, NOON), len(whole))


@pytest.mark.parametrize("header", ["Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked"])
def test_a_length_that_the_sink_cannot_know_is_refused(header: str) -> None:
    """Rather than taking a body for the next request."""
    with pytest.raises(BadRequest):
        parse(f"POST / HTTP/1.1\r\n{header}\r\n\r\n".encode(), 0)


def test_a_webhook_id_names_its_occurrence() -> None:
    """The sink reads the ids that the shifts write; anything else names nothing."""
    assert occurrence(webhook_id(42, NOON)) == ("42", str(int(NOON.timestamp()) * 1_000_000))
    for other in ("", "job_1", "job_x_1", "connector_1_2", "job_1_2_3", "job_1_-2"):
        assert occurrence(other) == ("", "")


def test_calls_survive_the_dump() -> None:
    """A path with a comma is still a path, and calls that name no occurrence are left out."""
    dump = "1.5,7,1000000,job_7_1000000,/a,b\n2.0,,,,/favicon.ico\n"
    assert parse_calls(dump) == [Call(1.5, 7, 1.0, "job_7_1000000", "/a,b")]


# -- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([3.0], 0.99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.51, 3.0),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
        (list(range(1, 101)), 1.0, 100),
        (list(range(1, 101)), 0.0, 1),
    ],
)
def test_percentiles_are_values_that_were_seen(values: list[float], share: float, expected: float | None) -> None:
    """Nearest rank: the smallest value that is not exceeded by that share of them."""
    assert percentile(values, share) == expected


def a_call(job_id: int, seconds: float, late: float = 0.1) -> Call:
    due = NOON + timedelta(seconds=seconds)
    return Call(due.timestamp() + late, job_id, due.timestamp(), webhook_id(job_id, due), "/")


def test_the_tally_tells_lost_from_duplicate_from_early() -> None:
    """The first call of an occurrence counts; one on the window's end belongs to the next window."""
    window = Window(NOON, NOON + timedelta(seconds=10))
    expected = {webhook_id(1, NOON + timedelta(seconds=second)) for second in range(0, 10, 2)}
    calls = [
        a_call(1, -2),
        a_call(1, 0, late=-0.001),
        a_call(1, 2, late=0.5),
        a_call(1, 2, late=0.2),
        a_call(1, 4, late=0.3),
        a_call(1, 5),
        a_call(1, 10),
    ]
    seen = tally(expected, calls, window)
    assert (seen.expected, seen.fired, seen.lost) == (5, 3, 2)
    assert (seen.duplicates, seen.early, seen.unexpected) == (1, 1, 1)
    assert seen.lateness == pytest.approx([-0.001, 0.2, 0.3], abs=1e-6)
    assert seen.lateness_at(0.99) == pytest.approx(0.3)


def inserted(database_url: str, wishes: list[NewJob]) -> list[Job]:
    rows = Rows(database_url)
    try:
        return rows.insert(wishes)
    finally:
        rows.close()


def test_what_is_expected_is_the_schedules_arithmetic(database_url: str) -> None:
    """A window holds its start and not its end; a job every 2 s is due 30 times a minute, a cron job as it says."""
    fast = NewJob("fast", "http://127.0.0.1:9/", every=timedelta(seconds=2))
    slow = NewJob("slow", "http://127.0.0.1:9/", cron="0 0 * * * *")
    jobs = inserted(database_url, [fast, slow])
    hour = (datetime.now(timezone.utc) + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    due = occurrences(jobs, Window(hour, hour + timedelta(minutes=1)))
    assert len(due) == 31
    assert due[webhook_id(jobs[1].id, hour)] == hour
    assert webhook_id(jobs[1].id, hour) not in occurrences(jobs, Window(hour - timedelta(minutes=1), hour))


# -- rows -------------------------------------------------------------------------------------------------------------


def test_rows_are_inserted_in_order_edited_and_removed(database_url: str, db: Any) -> None:
    """One statement inserts what was wished, and the jobs that come back are those rows."""
    rows = Rows(database_url)
    try:
        jobs = rows.insert([NewJob(f"bench {number}", f"http://sink/{number}", cron="@daily") for number in range(5)])
        assert [job.payload["url"] for job in jobs] == [f"http://sink/{number}" for number in range(5)]
        rows.change_url(jobs[0], "http://sink/new")
        rows.pause(jobs[1])
        rows.delete(jobs[2:])
        found = [job_from_row(row) for row in db.execute("select * from job order by id")]
    finally:
        rows.close()
    assert [job.id for job in found] == [jobs[0].id, jobs[1].id]
    assert found[0].payload == {**jobs[0].payload, "url": "http://sink/new"}
    assert (found[0].is_active, found[1].is_active) == (True, False)


def test_the_ledger_is_counted_by_status(database_url: str, db: Any) -> None:
    """Only these jobs, only this window; what is under way is not final."""
    window = Window(NOON, NOON + timedelta(minutes=1))
    jobs = inserted(database_url, [NewJob("one", "http://sink/"), NewJob("other", "http://sink/")])
    for job, seconds, status in (
        (jobs[0], 0, "success"),
        (jobs[0], 59, "running"),
        (jobs[0], 30, "missed"),
        (jobs[0], 60, "success"),
        (jobs[1], 0, "success"),
    ):
        finished = None if status == "running" else NOON
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at) values (%s, %s, %s, %s)",
            (job.id, NOON + timedelta(seconds=seconds), status, finished),
        )
    rows = Rows(database_url)
    try:
        ledger = rows.ledger(jobs[:1], window)
    finally:
        rows.close()
    assert ledger == {"success": 1, "running": 1, "missed": 1}
    assert final(ledger) == 2


# -- results ----------------------------------------------------------------------------------------------------------


def test_the_json_has_the_keys_of_the_contract() -> None:
    """Exactly these, in this order, null where they do not apply; what else there is comes after them."""
    contract = ["scenario", "jobs", "expected", "fired", "ledger_rows", "duplicates", "early", "lateness_p50_s"]
    contract += ["lateness_p99_s", "rate_per_s", "armed_s", "edit_p95_s", "rss_mib", "cpu_cores"]
    result = Result("burst")
    result.note(jobs=3, lateness_p99_s=0.123456)
    result.extra["seconds"] = 10.0
    facts = json.loads(json.dumps(result.as_json()))
    assert list(KEYS) == contract
    assert list(facts)[: len(contract)] == contract
    assert (facts["scenario"], facts["jobs"], facts["lateness_p99_s"]) == ("burst", 3, 0.123)
    assert all(facts[key] is None for key in set(contract) - {"scenario", "jobs", "lateness_p99_s"})
    assert facts["machine"]["cpus"] == os.cpu_count()


def test_a_misspelt_key_is_refused() -> None:
    """A scenario cannot leave the contract by accident."""
    with pytest.raises(KeyError, match="lateness_p98_s"):
        Result("burst").note(lateness_p98_s=1)


def test_a_missed_target_is_not_a_wrong_result() -> None:
    """Speed depends on the machine; early, lost or double calls do not."""
    result = Result("steady")
    assert (result.correct, result.targets_met) == (True, None)
    result.aim(False, "lateness p99 2.00 s (at most 1.5 s)")
    assert (result.correct, result.targets_met) == (True, False)
    result.demand(False, "1 calls came early")
    assert not result.correct
    assert verdicts(result) == [
        "steady: MISSED: lateness p99 2.00 s (at most 1.5 s)",
        "steady: WRONG: 1 calls came early",
    ]


def test_a_disturbed_measurement_says_so() -> None:
    """Numbers that were taken beside other work carry a caveat."""
    quiet, noisy = Result("burst"), Result("burst")
    quiet.disturbed(0.1)
    noisy.disturbed(0.8)
    assert verdicts(quiet) == []
    assert verdicts(noisy) == ["burst: but 0.8 cores were busy with something else, so its speed means little"]
    assert noisy.as_json()["other_cores"] == 0.8


def test_the_table_is_markdown() -> None:
    """A line per scenario, as wide as the head; what does not apply is a dash."""
    burst, steady = Result("burst"), Result("steady")
    steady.note(jobs=1000, expected=60_000, lateness_p50_s=0.25)
    lines = table([burst, steady]).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("|---")
    assert lines[1].endswith("-:|")
    assert "60,000" in lines[3]
    assert "0.25" in lines[3]
    assert "–" in lines[2]


# -- scenarios --------------------------------------------------------------------------------------------------------


def test_the_scenarios_are_those_of_the_table() -> None:
    """Each says in a line what it measures, and has a small form."""
    known = all_scenarios()
    assert list(known) == ["burst", "capacity", "edit", "single", "steady", "vanilla"]
    assert all(scenario.summary for scenario in known.values())
    assert [name for name, scenario in known.items() if scenario.has_own_system] == ["vanilla"]


def test_options_come_from_the_command_line() -> None:
    """What is given wins over the small form, and that over the defaults."""
    steady = all_scenarios()["steady"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    steady.add_options(parser)
    assert steady.options(parser.parse_args([])) == steady.module.Options()
    assert steady.options(parser.parse_args(["--small"])) == steady.module.SMALL
    given = steady.options(parser.parse_args(["--small", "--jobs", "7"]))
    assert (given.jobs, given.seconds) == (7, steady.module.SMALL.seconds)


def test_vanilla_offers_every_dag_its_turns() -> None:
    """What is expected of plain Airflow is its cron expression: second `n % every` and every `every` after it."""
    vanilla = all_scenarios()["vanilla"].module
    options = vanilla.Options(jobs=4, every=4, seconds=8)
    expected = vanilla._expected(options, Window(NOON, NOON + timedelta(seconds=8)))
    assert expected == {
        webhook_id(number, NOON + timedelta(seconds=second)) for number in range(4) for second in (number, number + 4)
    }


# -- usage ------------------------------------------------------------------------------------------------------------


def test_usage_is_that_of_the_process_tree() -> None:
    """What a component's processes use is counted under its name, what belongs to none under the supervisor."""
    me = Identity.of(os.getpid())
    assert me is not None
    run = Run(me, "http://127.0.0.1:1", "admin", "secret", "", demo=False)
    sink = Sink()
    try:
        identity = Identity.of(sink._process.pid)
        assert identity is not None
        run.components["sink"] = Component(identity, "", 0)
        before = usage.cpu_time(run)
        time.sleep(0.05)
        after = usage.cpu_time(run)
        assert set(before.seconds) >= {"supervisor", "sink"}
        assert all(share >= 0 for share in usage.cores(before, after).values())
        memory = usage.memory_mib(run)
    finally:
        sink.stop()
    if Path("/proc/self/smaps_rollup").exists():
        assert memory is not None
        assert memory > 10
    else:
        assert memory is None


def test_cores_are_seconds_per_second() -> None:
    """Half a second of work in two seconds is a quarter of a core; the busiest comes first."""
    before = usage.CpuTime(10.0, {"triggerer": 1.0, "scheduler": 5.0}, others=40.0)
    after = usage.CpuTime(12.0, {"triggerer": 1.5, "scheduler": 7.0, "postgres": 0.1}, others=41.0)
    assert usage.other_cores(before, after) == 0.5
    assert list(usage.cores(before, after).items()) == [("scheduler", 1.0), ("triggerer", 0.25), ("postgres", 0.05)]
