"""The bench's arithmetic: what came, compared with what was due or was to be sent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from bench.calls import Call, Window, parse_calls, percentile, tally
from bench.pulls import Asked, parse_asked, sizes_at, tally_pulls
from bench.record_calls import RecordCall, parse_record_calls, tally_records
from include.shifts.execution import webhook_id

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


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


def test_calls_survive_the_dump() -> None:
    """A path with a comma is still a path, and calls that name no occurrence are left out."""
    dump = "1.5,7,1000000,job_7_1000000,/a,b\n2.0,,,,/favicon.ico\n"
    assert parse_calls(dump) == [Call(1.5, 7, 1.0, "job_7_1000000", "/a,b")]


# -- workflows --------------------------------------------------------------------------------------------------------


def record_calls(*positions: int, workflow: int = 1, connector: int = 5) -> list[RecordCall]:
    return [
        RecordCall(float(second), workflow, connector, position, f"/workflow/{workflow}")
        for second, position in enumerate(positions)
    ]


def test_calls_of_workflows_are_read_from_the_dump() -> None:
    """Those of jobs, and what names no record, are left out."""
    dump = "1.5,,,7:5:12,/workflow/7\n1.6,7,1000000,job_7_1000000,/a,b\n1.7,,,7:5:x,/\n1.8,,,7:5,/\n1.9,,,,/\n"
    assert parse_record_calls(dump) == [RecordCall(1.5, 7, 5, 12, "/workflow/7")]


def test_a_workflow_that_did_everything_right_has_nothing_to_show() -> None:
    """All records, once, in order; the time is from the first call to the last."""
    calls = record_calls(1, 2, 3) + record_calls(1, 2, 3, workflow=2)
    seen = tally_records(calls, {1: 5, 2: 5}, range(1, 4))
    assert (seen.expected, seen.fired, seen.lost, seen.seconds) == (6, 6, 0, 2.0)
    assert (seen.duplicates, seen.out_of_order, seen.repeated_late, seen.foreign) == (0, 0, 0, 0)


def test_a_record_that_comes_again_at_once_is_only_a_duplicate() -> None:
    """As after a crash: the one in hand is sent again, and nothing is out of order."""
    seen = tally_records(record_calls(1, 2, 2, 3, 3, 4), {1: 5}, range(1, 5))
    assert (seen.lost, seen.duplicates, seen.most_duplicates) == (0, 2, 2)
    assert (seen.out_of_order, seen.repeated_late) == (0, 0)


def test_a_record_after_a_later_one_is_out_of_order() -> None:
    """For the first time it is out of order; again, it is repeated late."""
    seen = tally_records(record_calls(1, 3, 2, 1, 4), {1: 5}, range(1, 6))
    assert (seen.lost, seen.out_of_order, seen.duplicates, seen.repeated_late) == (1, 1, 1, 1)


def test_records_of_others_are_foreign() -> None:
    """Of another connector, or of a position that does not exist."""
    calls = record_calls(1, 9) + record_calls(2, connector=6)
    seen = tally_records(calls, {1: 5}, range(1, 3))
    assert (seen.foreign, seen.lost) == (2, 1)


def test_workflows_that_never_called_lost_everything() -> None:
    """No call is no reason to fall over."""
    seen = tally_records([], {1: 5, 2: 5}, range(1, 11))
    assert (seen.expected, seen.lost, seen.seconds) == (20, 20, 0.0)


# -- pulls ------------------------------------------------------------------------------------------------------------


def test_the_first_request_after_an_instant_is_its_pull() -> None:
    """A second one was not asked for; an instant without any before the next was missed; what is outside is nothing."""
    due = {"a": [10.0, 20.0, 30.0, 40.0], "b": [15.0, 25.0]}
    arrivals = {"a": [9.0, 10.5, 12.0, 35.0, 45.0], "b": [15.25], "c": [11.0]}
    asked = [Asked(arrival, feed, 1) for feed, times in arrivals.items() for arrival in times]
    seen = tally_pulls(due, asked)
    assert (seen.expected, seen.pulled, seen.missed, seen.unasked) == (4, 3, 1, 1)
    assert seen.lateness == [0.25, 0.5, 5.0]
    assert seen.lateness_at(0.5) == 0.5


def test_what_a_feed_had_at_an_instant_is_what_it_had_when_last_asked() -> None:
    """Requests after it do not count, in whatever order they are listed."""
    asked = parse_asked("3.0,a,60\n1.0,a,20\n2.0,a,40\n1.5,b,20\n")
    assert sizes_at(asked, 2.5) == {"a": 40, "b": 20}
    assert sizes_at(asked, 0.5) == {}
