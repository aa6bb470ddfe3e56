"""Schedules that cannot hold are refused, and say what to write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigError
from include.schedule import Schedule
from tests.schedule_oracle import (
    ANCHOR,
    DAY,
    HOUR,
    SECOND,
    TICK,
    at,
    slow,
)

NOON = at("2026-01-01 12:00")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cron": "0 9 * * *", "every": HOUR}, ["cron and every", "keep one"]),
        ({"cron": "0 9 * * *", "every": HOUR, "run_at": NOON}, ["cron and every and run_at"]),
        ({"cron": ""}, ["0 fields", "write 5"]),
        ({"cron": "* * *"}, ["3 fields"]),
        ({"cron": "* * * *"}, ["'* * * *'", "4 fields", "write 5", "6 with the second first"]),
        ({"cron": "* * * * * * 2026"}, ["7 fields", "no year"]),
        ({"cron": "@reboot"}, ["'@reboot'", "@daily"]),
        ({"cron": "H * * * *"}, ["'H'", "jitter"]),
        ({"cron": "0 R(1-5) * * *"}, ["'R(1-5)'", "jitter"]),
        ({"cron": "0 25 * * *"}, ["'0 25 * * *'", "the hour cannot be '25'", "0-23"]),
        ({"cron": "0 0 * foo *"}, ["the month cannot be 'foo'", "jan-dec"]),
        ({"cron": "0 0 * * 8"}, ["the day of week cannot be '8'"]),
        ({"cron": "75 * * * * *"}, ["the second cannot be '75'"]),
        ({"cron": "*/0 * * * *"}, ["the minute cannot be '*/0'"]),
        ({"cron": "0 2-2 * * *"}, ["'2-2'", "write 2 alone"]),
        ({"cron": "0 0 * * mon-Mon"}, ["write mon alone"]),
        ({"cron": "0 0 30 2 *"}, ["'0 0 30 2 *'", "never fires"]),
        ({"cron": "0 0 1 * mon#2"}, ["never fires"]),
        ({"timezone": "Europe/Berln"}, ["'Europe/Berln'", "did you mean", "Europe/Berlin"]),
        ({"timezone": "new york"}, ["America/New_York"]),
        ({"timezone": "europe/berlin"}, ["did you mean Europe/Berlin"]),
        ({"timezone": "../UTC"}, ["unknown time zone"]),
        ({"timezone": "localtime"}, ["unknown time zone"]),
        ({"timezone": ""}, ["write a name such as 'Europe/Berlin'"]),
        ({"every": timedelta(seconds=0.999)}, ["0.999 s", "1 second"]),
        ({"every": -HOUR}, ["every is -1 h"]),
        ({"every": 40_000 * DAY}, ["100 years"]),
        ({"jitter": -SECOND}, ["jitter is -1 s"]),
        ({"every": HOUR, "jitter": HOUR + TICK}, ["jitter is 3600.000001 s", "1 h apart", "at most"]),
        ({"every": SECOND, "jitter": 20 * SECOND, "fixed_delay": True}, ["jitter is 20 s", "1 s apart"]),
        ({"cron": "0 9 * * *", "jitter": 2 * DAY}, ["jitter is 2 d", "1 d apart"]),
        ({"cron": "0 9,10 * * *", "jitter": 2 * HOUR}, ["jitter is 2 h", "1 h apart"]),
        ({"cron": "*/10 * * * * *", "jitter": HOUR}, ["jitter is 1 h", "10 s apart"]),
        ({"starts_at": NOON, "ends_at": NOON}, ["starts_at", "not before ends_at"]),
        ({"run_at": NOON, "ends_at": NOON}, ["run_at", "outside"]),
        ({"run_at": NOON, "starts_at": NOON + TICK}, ["run_at", "outside"]),
        ({"starts_at": NOON.replace(tzinfo=None)}, ["starts_at", "no time zone"]),
    ],
)
def test_a_bad_schedule_is_refused_with_its_remedy(fields: dict[str, Any], says: list[str]) -> None:
    """The message names what is wrong and what to write."""
    with pytest.raises(ConfigError) as refusal:
        Schedule(ANCHOR, 7, **fields).validate()
    for part in says:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"every": HOUR, "jitter": HOUR},
        {"cron": "0 9 * * *", "jitter": DAY},
        {"run_at": NOON, "jitter": 30 * DAY},
        {"cron": "0 9 * * *", "starts_at": NOON, "ends_at": NOON + DAY, "jitter": 30 * DAY},
        {"jitter": 30 * DAY},
    ],
)
def test_jitter_may_be_as_long_as_occurrences_are_apart(fields: dict[str, Any]) -> None:
    """None is put off beyond the next one; where there is no next one, it may be as long as one likes."""
    Schedule(ANCHOR, 7, **fields).validate()


@slow
@given(cron=st.text(alphabet="0123456789*/,-#?LlWwHR@ monfrijan\n\x00é", max_size=30))
def test_no_text_breaks_the_parser(cron: str) -> None:
    """Whatever stands in the cron column, it is a schedule or a `ConfigError`."""
    schedule = Schedule(ANCHOR, 7, cron=cron)
    try:
        schedule.validate()
    except ConfigError:
        return
    assert schedule.next_after(ANCHOR) is not None


def test_an_unchecked_row_fails_in_the_same_way() -> None:
    """A bad row that nobody validated raises `ConfigError` where it is used, so that one handler is enough."""
    for broken in (Schedule(ANCHOR, 7, cron="nonsense"), Schedule(ANCHOR, 7, cron="0 9 * * *", timezone="Nowhere")):
        with pytest.raises(ConfigError):
            broken.next_after(ANCHOR)
