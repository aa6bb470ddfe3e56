"""What people write on a command line is read as they meant it: durations, instants, and values of settings."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.cli.payload import assign
from include.errors import ConfigError
from include.times import parse_duration, parse_instant, spell_duration

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("90s", 90),
        ("1m30s", 90),
        ("1.5m", 90),
        ("5 min", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("1d 2h", 93_600),
        ("250ms", 0.25),
        ("00:05:00", 300),
        ("2 days 01:00:00.5", 176_400.5),
        ("0", 0),
        (" 10S ", 10),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Every form that the help names means what it says."""
    assert parse_duration(text, "--every").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "5 parsecs", "-5s", "1h-5m", "5s!", "00:61:00", "9" * 30 + "d", "٥s"])
def test_a_bad_duration_is_refused_under_its_option(text: str) -> None:
    """What is no duration is refused, and the option is named."""
    with pytest.raises(ConfigError, match=r"^--every: "):
        parse_duration(text, "--every")


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36525)))
def test_durations_are_written_so_that_they_can_be_read(length: timedelta) -> None:
    """What a table shows can be given to an option, and means the same."""
    assert parse_duration(spell_duration(length), "--every") == length


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-07-01T09:00:00+02:00", "2026-07-01T07:00:00"),
        ("2026-07-01T09:00:00Z", "2026-07-01T09:00:00"),
        ("2026-07-01 09:00:00.25 -0530", "2026-07-01T14:30:00.250000"),
        ("2026-07-01 09:00", "2026-07-01T07:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00"),
        ("+10m", "2026-03-01T12:10:01"),
    ],
)
def test_instants_are_read_on_the_clock_of_the_zone(text: str, instant: str) -> None:
    """An offset counts; without one it is the wall clock of the zone, the first pass of a repeated hour; `+` is from
    now, up to the next whole second, and so never early."""
    read = parse_instant(text, "--run-at", zone="Europe/Berlin", now=NOW)
    assert read.astimezone(timezone.utc).replace(tzinfo=None).isoformat() == instant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tomorrow", "write 2026-07-01T09:00:00"),
        ("2026-02-30", "is not an instant"),
        ("2026-03-29 02:30", "the clocks of Europe/Berlin skip 2026-03-29 02:30:00"),
        ("+soon", "is not a duration"),
        ("1767225600", "is not an instant"),
        ("2026-07-01T09:00+99:00", "is not an instant"),
    ],
)
def test_a_bad_instant_is_refused_under_its_option(text: str, says: str) -> None:
    """What is no instant, or one that the zone's clock never shows, is refused, and the option is named."""
    with pytest.raises(ConfigError, match=r"^--run-at: ") as caught:
        parse_instant(text, "--run-at", zone="Europe/Berlin", now=NOW)
    assert says in str(caught.value)


def test_set_puts_values_where_the_dots_lead() -> None:
    """A value is JSON where it can be, else text; dots lead into objects; the original stays as it was."""
    before = {"json": {"a": 1}, "url": "x"}
    after = assign(before, ["url=http://h/?a=b", "json.b.c=[1]", "n=200", "t=true", "s=NaN", 'q="5"'], ["json.a"])
    assert after == {"json": {"b": {"c": [1]}}, "url": "http://h/?a=b", "n": 200, "t": True, "s": "NaN", "q": "5"}
    assert before == {"json": {"a": 1}, "url": "x"}


@pytest.mark.parametrize(
    ("set_", "unset", "says"),
    [
        (["url"], [], "write key=value"),
        (["=1"], [], "write key=value"),
        (["a..b=1"], [], "write key=value"),
        (["url.x=1"], [], "url is not an object"),
        ([], ["nothing"], "the payload has no such key"),
    ],
)
def test_a_bad_assignment_says_what_to_write(set_: list[str], unset: list[str], says: str) -> None:
    """An assignment that leads nowhere is refused, and quoted."""
    with pytest.raises(ConfigError, match=says):
        assign({"url": "x"}, set_, unset)
