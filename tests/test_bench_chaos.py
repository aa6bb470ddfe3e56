"""The audit of `chaos` finds each kind of breach when it is given one, and nothing where all is in order."""

from __future__ import annotations

import shutil
import smtplib
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from bench.chaos_audit import (
    SECOND,
    AuditedJob,
    AuditedTimer,
    Beat,
    Entry,
    Line,
    Send,
    audit_jobs,
    audit_timers,
    job_key,
    parse_sends,
    table,
)
from bench.chaos_clock import Clock
from bench.chaos_disk import FullDisk
from bench.chaos_load import micros, planned
from bench.chaos_plan import KILLED, plan
from bench.chaos_port import TakenPort
from bench.chaos_receiver import Receiver
from bench.chaos_records import AuditedWorkflow, audit_logs, audit_workflows
from bench.rows import LogFacts
from include.local.ports import free_port
from include.schedule import Schedule

START = micros(datetime(2026, 3, 1, tzinfo=timezone.utc))
KEYED = AuditedJob(7, "/fine/a", Beat(START, SECOND, START + 3 * SECOND), START, makes_up=True)
ONCE = AuditedJob(8, "/fine/b", Beat(START, 0, START + SECOND), START, at_most_once=True)
UNKEYED = AuditedJob(9, "/fine/c", Beat(START, SECOND, START + 2 * SECOND), START, keyed=False)
JOBS = (KEYED, ONCE, UNKEYED)
LEDGER = [Entry(job.id, due, "success", 1) for job in JOBS for due in job.beat.dues()]
SENDS = [Send(due + 5, job_key(job.id, due), job.place) for job in (KEYED, ONCE) for due in job.beat.dues()]
SENDS += [Send(due + 5, "", UNKEYED.place) for due in UNKEYED.beat.dues()]


def breaches(lines: list[Line]) -> dict[str, int]:
    return {line.what: len(line.breaches) for line in lines if line.breaches}


def test_what_is_in_order_is_no_breach() -> None:
    """Every occurrence once, sent once, at its instant: nothing to complain of, and all is counted."""
    lines = audit_jobs(JOBS, LEDGER, SENDS)
    assert breaches(lines) == {}
    assert (lines[0].expected, lines[0].found) == (6, 6)


@pytest.mark.parametrize(
    ("ledger", "sends", "found"),
    [
        (LEDGER[1:], SENDS[1:], "occurrences with exactly one ledger row"),
        ([*LEDGER, LEDGER[0]], SENDS, "occurrences with exactly one ledger row"),
        ([*LEDGER, Entry(7, START + 500_000, "success", 0)], [*SENDS], "ledger rows of no occurrence"),
        ([LEDGER[0]._replace(status="running"), *LEDGER[1:]], SENDS, "ledger rows without an end"),
        (
            [LEDGER[0]._replace(status="missed", attempt=0), *LEDGER[1:]],
            SENDS[1:],
            "occurrences given up, of jobs that make up for all",
        ),
        (LEDGER, [*SENDS, Send(START + 9, "job_7_17", KEYED.place)], "sends without a ledger row"),
        (LEDGER, [*SENDS, Send(START + 9, "", KEYED.place)], "sends without a ledger row"),
        (LEDGER, [*SENDS, SENDS[0]], "sends beyond the attempts in the ledger"),
        (LEDGER, [SENDS[0]._replace(at=START - 1), *SENDS[1:]], "sends before their instant"),
        (LEDGER, SENDS[1:], "successes that no receiver saw"),
        (LEDGER, SENDS[:-1], "unkeyed successes that no receiver saw"),
        (LEDGER, [*SENDS, SENDS[-1]], "unkeyed sends that are early, or without a row"),
        (LEDGER, [*SENDS[:-1], SENDS[-1]._replace(at=START + 9)], "unkeyed sends that are early, or without a row"),
    ],
)
def test_each_breach_of_a_job_is_found(ledger: list[Entry], sends: list[Send], found: str) -> None:
    """A missing row, two of them, a send under another id, an early one, and so on."""
    seen = breaches(audit_jobs(JOBS, ledger, sends))
    assert seen.get(found) == 1
    assert set(seen) <= {found, "successes that no receiver saw"}


def test_a_second_send_is_allowed_under_the_same_key_in_a_second_attempt() -> None:
    """As at least once has it; where at most once was asked for, it is a breach."""
    ledger = [entry._replace(attempt=2) for entry in LEDGER]
    again = audit_jobs(JOBS, ledger, [*SENDS, SENDS[0]])
    assert breaches(again) == {}
    assert next(line.found for line in again if line.expected == "any") == 1
    assert breaches(audit_jobs(JOBS, ledger, [*SENDS, SENDS[3]])) == {"second sends, of what is sent at most once": 1}


def test_what_was_due_before_the_system_was_ready_is_not_owed() -> None:
    """It may have a row, or have been missed; what comes after is owed."""
    late = [replace(KEYED, owed_from=START + SECOND)]
    ledger = [entry for entry in LEDGER if entry.job_id == KEYED.id]
    sends = [send for send in SENDS if send.place == KEYED.place]
    missed = ledger[0]._replace(status="missed", attempt=0)
    assert breaches(audit_jobs(late, ledger[1:], sends[1:])) == {}
    assert breaches(audit_jobs(late, [missed, *ledger[1:]], sends[1:])) == {}


def test_each_breach_of_a_timer_is_found() -> None:
    """One that never fired, one that fired early, one too often, and a call of none."""
    timers = [AuditedTimer(number, START, "/fine/timer", "fired", 1) for number in range(3)]
    sends = [Send(START + 1, f"timer_{number}", "/fine/timer") for number in range(3)]
    assert breaches(audit_timers(timers, sends)) == {}
    assert breaches(audit_timers(timers, sends[1:])) == {"timers that fired": 1}
    assert breaches(audit_timers([timers[0]._replace(status="firing"), *timers[1:]], sends)) == {"timers that fired": 1}
    early = [sends[0]._replace(at=START - 1), *sends[1:]]
    assert breaches(audit_timers(timers, early)) == {"timers that fired early": 1}
    assert breaches(audit_timers(timers, [*sends, sends[0]])) == {"sends of timers beyond their attempts": 1}
    assert breaches(audit_timers(timers, [*sends, Send(START, "timer_9", "/fine/timer")])) == {"sends of no timer": 1}


def test_each_breach_of_a_workflow_is_found() -> None:
    """A record that was lost, one out of order, one of another connector, a dead letter too many or too few."""
    workflow = AuditedWorkflow(3, 1, "/picky/w", 8, 8, frozenset({7}), picky=True)
    sends = [Send(START + position, f"3:1:{position}", "/picky/w") for position in range(1, 9)]
    assert breaches(audit_workflows([workflow], sends)) == {}
    assert breaches(audit_workflows([workflow], [*sends, sends[-1]])) == {}
    assert breaches(audit_workflows([workflow], sends[1:])) == {"records sent, of each workflow": 1}
    turned = [sends[0]._replace(at=START + 99), *sends[1:]]
    assert breaches(audit_workflows([workflow], turned)) == {"workflows that sent out of order": 1}
    again = [*sends, sends[0]._replace(at=START + 99)]
    assert breaches(audit_workflows([workflow], again)) == {"workflows that sent out of order": 1}
    foreign = [*sends, Send(START, "3:2:1", "/picky/w")]
    assert breaches(audit_workflows([workflow], foreign)) == {"sends of records that are not the workflow's": 1}
    assert breaches(audit_workflows([workflow._replace(position=7)], sends)) == {"workflows behind their log": 1}
    for dead in (frozenset[int](), frozenset({6, 7})):
        letters = breaches(audit_workflows([workflow._replace(dead=dead)], sends))
        assert letters == {"dead records: those that were refused": 1}


def test_each_breach_of_a_log_is_found() -> None:
    """A record that is not there, one that is there twice, one out of order, a gap."""
    facts = LogFacts(records=3, keys=3, first=1, last=3, descents=0)
    assert breaches(audit_logs({1: facts}, {1: 3})) == {}
    assert breaches(audit_logs({1: facts}, {1: 4})) == {"records of the source in the log": 1}
    assert breaches(audit_logs({}, {1: 4})) == {"records of the source in the log": 1}
    assert breaches(audit_logs({1: replace(facts, keys=2)}, {1: 2})) == {"records that are in the log twice": 1}
    for wrong in (replace(facts, descents=1), replace(facts, last=4)):
        assert breaches(audit_logs({1: wrong}, {1: 3})) == {"logs out of order, or with gaps": 1}


def test_the_table_says_what_was_expected_and_found() -> None:
    """One line each, below each other."""
    lines = table([Line("timers that fired", 3, 2, ["timer_1 is firing"]), Line("sends early", 0, 0)])
    assert [line.split("|")[-1].strip() for line in lines] == ["breach", lines[1].split("|")[-1].strip(), "1", "–"]
    assert len({len(line) for line in lines}) == 1


def test_a_plan_comes_again_from_its_seed() -> None:
    """So many kills, each component among them, spread over the time; another seed is another plan."""
    faults = plan(5, 200, 3600)
    assert faults == plan(5, 200, 3600) != plan(6, 200, 3600)
    killed = [fault.target for fault in faults if fault.kind == "kill"]
    assert len(killed) == 200
    assert set(killed) == {fault.target for fault in plan(5, 10, 90) if fault.kind == "kill"} == set(KILLED)
    assert {fault.kind for fault in plan(5, 10, 90)} == {fault.kind for fault in faults}
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert 0 <= faults[0].at <= faults[-1].at <= 3600


def test_the_audits_arithmetic_agrees_with_the_schedules() -> None:
    """Every job of the load is due when the schedule under test says so, by another way of working it out."""
    start = datetime(2026, 3, 1, 10, 20, 31, tzinfo=timezone.utc)
    load, end = start + timedelta(seconds=30), start + timedelta(minutes=3)
    jobs = list(planned(start, load, end, sink_url="http://127.0.0.1:1", shell_file="effects"))
    assert {job.document["kind"] for job in jobs} >= {
        "ping",
        "webhook",
        "http",
        "slack",
        "email",
        "shell",
        "sql",
        "python",
    }
    assert len({job.place for job in jobs}) == len(jobs)
    for job in jobs:
        row = job.document
        schedule = Schedule(
            anchor=start,
            salt=1,
            cron=row.get("cron"),
            every=timedelta(seconds=int(row["every"].split()[0])) if "every" in row else None,
            run_at=datetime.fromisoformat(row["run_at"]) if "run_at" in row else None,
            starts_at=start if "starts_at" in row else None,
            ends_at=end if "ends_at" in row else None,
        )
        due = [micros(at) for at in schedule.between(start - timedelta(seconds=1), end + timedelta(days=1))]
        assert list(job.beat.dues()) == due
        assert due


def _post(url: str, *, seconds: float = 30, **headers: str) -> None:
    request = Request(url, data=b"{}", headers=headers, method="POST")  # noqa: S310 - loopback
    with build_opener(ProxyHandler({})).open(request, timeout=seconds) as reply:
        assert reply.read() == b"ok"


def test_the_sink_writes_down_calls_and_mails_also_while_it_is_cut() -> None:
    """Who called is known by key and place; refused, nothing comes; left unanswered, it is written down as well."""
    mail = EmailMessage()
    mail["Subject"], mail["Message-ID"] = "/fine/mail", "<job_1_2@millrace.example.com>"
    with closing(Receiver()) as receiver:
        _post(f"{receiver.http_url}/fine/a", **{"webhook-id": "job_7_1"})
        _post(f"{receiver.http_url}/fine/b", **{"idempotency-key": "job_8_1"})
        with smtplib.SMTP("127.0.0.1", receiver.smtp_port) as server:
            server.send_message(mail, "a@example.com", "b@example.com")
        receiver.cut("refuse")
        with pytest.raises(OSError, match="refused"):
            _post(f"{receiver.http_url}/fine/a", **{"webhook-id": "job_7_2"})
        receiver.cut("hang")
        with pytest.raises(OSError, match="timed out"):
            _post(f"{receiver.http_url}/fine/a", seconds=1, **{"webhook-id": "job_7_3"})
        receiver.cut("no")
        _post(f"{receiver.http_url}/fine/a", **{"webhook-id": "job_7_4"})
        sends = [(send.key, send.place) for send in receiver.sends()]
    assert sends == [
        ("job_7_1", "/fine/a"),
        ("job_8_1", "/fine/b"),
        ("job_1_2", "/fine/mail"),
        ("job_7_3", "/fine/a"),
        ("job_7_4", "/fine/a"),
    ]


def test_sends_are_read_as_they_were_written() -> None:
    """Seconds become microseconds; a key may be missing."""
    assert parse_sends("1.5,job_7_1,/fine/a\n2,,/fine/b\n") == [
        Send(1_500_000, "job_7_1", "/fine/a"),
        Send(2_000_000, "", "/fine/b"),
    ]


def test_nothing_can_be_written_on_a_full_disk(tmp_path: Path) -> None:
    """However it is made full; and afterwards everything is as it was."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "old").write_text("here")
    disk = FullDisk(folder)
    disk.fill()
    try:
        with pytest.raises(OSError, match=r"No space left|Not a directory"):
            (folder / "new").write_text("more")
    finally:
        disk.clear()
    (folder / "new").write_text("more")
    assert sorted(path.name for path in folder.iterdir()) == ["new", "old"]


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler, which only chaos needs")
def test_a_clock_can_be_set_while_a_process_has_it(tmp_path: Path) -> None:
    """Only the time of day is another one; what sleeps, sleeps as long as it wanted to."""
    clock = Clock(tmp_path)
    assert clock.make()
    program = "import time\nfor line in iter(input, ''): time.sleep(0.01); print(time.time())"
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(
        command, env=clock.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for seconds in (0, 900, -900):
            clock.set(seconds)
            process.stdin.write("now\n")
            process.stdin.flush()
            assert abs(float(process.stdout.readline()) - time.time() - seconds) < 300
        process.kill()


def _connect(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as peer:
        return peer.recv(1)


def test_a_taken_port_hangs_up_and_is_free_again() -> None:
    """Who connects is reset; when it is left, a server can listen there."""
    number = free_port()
    port = TakenPort(number)
    port.take()
    try:
        assert port.is_taken(10)
        with pytest.raises(ConnectionResetError):
            _connect(number)
    finally:
        port.leave()
    with socket.create_server(("127.0.0.1", number)):
        pass
