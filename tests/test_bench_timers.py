"""What the bench makes of timers and of retries."""

from __future__ import annotations

from bench.sink import fails
from bench.timer_calls import TimerCall, parse_timer_calls, tally_timers


def test_timers_are_told_from_jobs_and_records() -> None:
    """Only calls whose webhook-id names a timer are timers' calls."""
    dump = "1.5,,,timer_7,/timer\n2.0,3,4000000,job_3_4000000,/x\n3.0,,,1:2:3,/y\n4.0,,,timer_x,/z\n"
    assert parse_timer_calls(dump) == [TimerCall(1.5, 7)]


def test_lost_early_and_repeated_timers_are_counted() -> None:
    """Each timer counts by its first call; what was never due is not ours."""
    dues = {1: 10.0, 2: 11.0, 3: 12.0}
    calls = [TimerCall(10.25, 1), TimerCall(10.5, 1), TimerCall(10.75, 2), TimerCall(9.0, 99)]
    seen = tally_timers(dues, calls)
    assert (seen.expected, seen.fired, seen.lost, seen.duplicates, seen.early) == (3, 2, 1, 1, 1)
    assert list(seen.lateness) == [-0.25, 0.25]


def test_the_sink_fails_by_a_rule_that_can_be_recomputed() -> None:
    """The share of failures is as asked, another attempt has its own chance, and the answer is always the same."""
    failed = [fails(f"job_{number}_1", 1, 0.2) for number in range(20_000)]
    assert 0.18 < sum(failed) / len(failed) < 0.22
    assert failed != [fails(f"job_{number}_1", 2, 0.2) for number in range(20_000)]
    assert failed == [fails(f"job_{number}_1", 1, 0.2) for number in range(20_000)]
    assert not any(fails(f"job_{number}_1", 1, 0.0) for number in range(100))
