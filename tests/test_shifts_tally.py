"""A shift's log says that it works, and what fails, in few lines: whoever reads them pays for each."""

from __future__ import annotations

import logging

import pytest

from include.shifts import tally
from include.shifts.tally import Tally


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the steady clock shows; add to them."""
    shown = [1000.0]
    monkeypatch.setattr(tally.time, "monotonic", lambda: shown[0])
    return shown


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=tally.__name__)
    return caplog


def test_an_hour_of_a_fast_job_is_two_lines(clock: list[float], said: pytest.LogCaptureFixture) -> None:
    """One after the first minute, one half an hour later; the last word of the shift has them all."""
    counted = Tally()
    for _ in range(3600):
        clock[0] += 1
        counted.count("success")
    assert said.messages == ["last 1 min: 60 success", "last 30 min: 1800 success"]
    assert str(counted) == "3600 success"


def test_each_failure_of_a_job_that_is_due_every_minute_is_logged(
    clock: list[float], said: pytest.LogCaptureFixture
) -> None:
    """At once, with its reason, also where it was tried again before."""
    counted = Tally()
    expected = []
    for minute in range(5):
        clock[0] += 55
        counted.complain("%s: attempt %s failed: %s", minute, 1, "it answered 500")
        clock[0] += 5
        counted.complain("%s failed: %s", minute, "it answered 500 again")
        expected += [f"{minute}: attempt 1 failed: it answered 500", f"{minute} failed: it answered 500 again"]
    assert said.messages == expected


def test_a_fast_job_that_fails_for_long_is_four_lines_a_minute(
    clock: list[float], said: pytest.LogCaptureFixture
) -> None:
    """After the first ten; those that are not said are counted in the summary, and in the shift's last words."""
    counted = Tally()
    for second in range(61):
        counted.complain("%s failed", second)
        counted.count("failed")
        clock[0] += 1
    *failures, summary = said.messages
    assert failures[:10] == [f"{second} failed" for second in range(10)]
    assert len(failures) in (13, 14)
    assert summary == f"last 1 min: 61 failed; {61 - len(failures)} failed attempts are not in this log"
    for second in range(2):
        counted.complain("%s failed", second)
    assert str(counted) in [f"61 failed; {unsaid} failed attempts are not in this log" for unsaid in (1, 2)]
    assert counted.failed == 61
