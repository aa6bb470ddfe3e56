"""The servers that the bench measures with: the sink remembers calls, the source has records to pull."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from bench.calls import parse_calls
from bench.server_process import ServerProcess
from bench.sink import occurrence
from bench.sink_process import Sink
from bench.source import record
from bench.source_process import Source
from bench.wire import BadRequest, parse
from include.shifts.execution import webhook_id

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with closing(Sink()) as running:
        yield running


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10)


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
    earlier = sink.count("calls")
    with connected(sink) as connection:
        connection.sendall(b"".join(a_post(102, path=f"/{number}") for number in range(500)))
        read_answers(connection, 500)
    assert sink.count("calls") == earlier + 500
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
            sink.count("calls")  # it is awake
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
    earlier = sink.count("calls")
    with connected(sink) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")
        assert connection.recv(1) == b""
    assert sink.count("calls") == earlier


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
    with closing(Sink(file, latency_ms=100, failures=1)) as slow, connected(slow) as connection:
        began = time.monotonic()
        connection.sendall(a_post(106))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 500")
        assert time.monotonic() - began >= 0.09  # timers of event loops are a millisecond or so coarse
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


def a_record_call(workflow: int, position: int) -> bytes:
    head = f"POST /workflow/{workflow} HTTP/1.1\r\nHost: sink\r\nWebhook-Id: {workflow}:5:{position}\r\n"
    return f"{head}Content-Length: 2\r\n\r\n{{}}".encode()


def test_the_sink_remembers_which_record_a_workflow_sent(sink: Sink) -> None:
    """A call whose webhook-id is `<workflow_id>:<connector_id>:<position>` is told apart from those of jobs."""
    with connected(sink) as connection:
        connection.sendall(a_record_call(7, 1) + a_post(107) + a_record_call(7, 2))
        read_answers(connection, 3)
    calls = sink.record_calls([7])
    assert [(call.workflow_id, call.connector_id, call.position) for call in calls] == [(7, 5, 1), (7, 5, 2)]
    assert {call.path for call in calls} == {"/workflow/7"}
    assert len(sink.calls([107])) == 1


def test_the_sink_tells_calls_that_overlap() -> None:
    """A call that comes before the last one to the same path was answered is counted; others beside it are none."""
    with closing(Sink(latency_ms=50)) as slow, connected(slow) as connection:
        connection.sendall(a_record_call(1, 1) + a_record_call(2, 1))
        read_answers(connection, 2)
        connection.sendall(a_record_call(1, 2))
        read_answers(connection, 1)
        assert slow.count("overlaps") == 0
        connection.sendall(a_record_call(1, 3) + a_record_call(1, 4))
        read_answers(connection, 2)
        assert slow.count("overlaps") == 1


# -- the source -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with closing(Source(items=25, page=10, grow=15, calm=3600)) as running:
        yield running


def fetched(source: Source, path: str) -> Any:
    with build_opener(ProxyHandler({})).open(source.url + path, timeout=10) as reply:
        return json.load(reply)


def test_the_source_hands_out_its_items_page_by_page(source: Source) -> None:
    """Each record is on one page, the last page is shorter, and the total is on all of them."""
    pages = [fetched(source, f"/items?offset={offset}&limit=10") for offset in (0, 10, 20, 30)]
    assert [len(page["items"]) for page in pages] == [10, 10, 5, 0]
    assert [item["id"] for page in pages for item in page["items"]] == list(range(1, 26))
    assert {page["total"] for page in pages} == {25}


def test_records_are_as_long_as_they_say() -> None:
    """About 400 bytes each, and for the same number always the same."""
    assert {len(record(number, 400)) for number in (1, 77, 100_000)} == {400}
    assert len(record(1, 0)) > 0
    assert record(5, 400) == record(5, 400) != record(6, 400)


def test_a_feed_comes_in_pages_and_has_an_end(source: Source) -> None:
    """It does not grow again as long as it is to be calm, so a pull comes to an end."""
    first = fetched(source, "/feed/a?since=0")
    second = fetched(source, f"/feed/a?since={first['next']}")
    assert [item["id"] for item in first["items"] + second["items"]] == list(range(1, 16))
    assert (first["next"], second["next"]) == (10, None)
    assert fetched(source, "/feed/a?since=15") == {"items": [], "next": None}


def test_a_feed_grows_when_it_was_read_to_its_end() -> None:
    """By so many records, whenever somebody asks who has seen all."""
    with closing(Source(grow=3, calm=0)) as source:
        for seen in (0, 3, 6):
            found = fetched(source, f"/feed/a?since={seen}")
            assert [item["id"] for item in found["items"]] == [seen + 1, seen + 2, seen + 3]
        assert source.count("records") == 9


def test_who_lost_an_answer_gets_it_again(source: Source) -> None:
    """The same question has the same records: what was not stored is not lost."""
    assert fetched(source, "/feed/b?since=0") == fetched(source, "/feed/b?since=0")


def test_the_source_remembers_who_asked_when(source: Source) -> None:
    """Each request has its instant, its feed, and how many records there were then."""
    earlier = len(source.asked())
    before = time.time()
    fetched(source, "/feed/c?since=0")
    fetched(source, "/items")
    fed, listed = source.asked()[earlier:]
    assert (fed.feed, fed.size, listed.feed, listed.size) == ("c", 15, "", 25)
    assert before <= fed.arrival <= listed.arrival <= time.time()
    assert source.count("requests") == earlier + 2


def test_the_source_knows_what_it_does_not_have(source: Source) -> None:
    """A wrong path is a 404, so that a wrong configuration shows."""
    with pytest.raises(HTTPError) as caught:
        fetched(source, "/nothing")
    assert caught.value.code == 404
    caught.value.close()
