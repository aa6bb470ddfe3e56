"""The schedule in a form: what is shown of a row comes back as the row has it, and what cannot be read is said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.documents.fields import spell_utc
from include.ui import schedule_form
from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.templates import template

UTC = timezone.utc
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


class Fields(HTMLParser):
    """What a browser would send of a page as it is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self._select = ""
        self._option: dict[str, str | None] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and (found.get("type") not in ("radio", "checkbox") or "checked" in found):
            self.sent.setdefault(str(found["name"]), []).append(found.get("value") or "")
        elif tag == "select":
            self._select = str(found["name"])
        elif tag == "option" and "selected" in found:
            self._option = found
            if "value" in found:
                self.sent[self._select] = [found["value"] or ""]

    def handle_data(self, data: str) -> None:
        if self._option is not None and "value" not in self._option:
            self.sent[self._select] = [data]
        self._option = None


def browser(document: Mapping[str, Any] | None, **more: Any) -> Form:
    """The form of a row, drawn and sent as it is."""
    drawn = schedule_form.shown(document, None, {}, **more)
    page = Fields()
    page.feed(template("schedule.html").render(schedule=drawn, url=lambda path: path))
    return Form(page.sent)


def row(**settings_: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("cron", "every", "run_at", "starts_at", "ends_at"))
    return {**empty, "timezone": "UTC", **settings_}


def form(**fields: Any) -> Form:
    return Form({name: value if isinstance(value, list) else [value] for name, value in fields.items()})


def problems(sent: Form) -> dict[str, str]:
    with pytest.raises(ProblemError) as refused:
        schedule_form.sent(sent)
    assert refused.value.status == 422
    return dict(refused.value.errors)


instants = st.datetimes(datetime(1971, 1, 1), datetime(2080, 1, 1)).map(lambda one: spell_utc(one.replace(tzinfo=UTC)))
# Around the days on which clocks change, to the microsecond.
turns = st.tuples(
    st.sampled_from([datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1), datetime(2026, 11, 1, 6)]),
    st.timedeltas(timedelta(hours=-2), timedelta(hours=2)),
).map(lambda one: spell_utc((one[0] + one[1]).replace(tzinfo=UTC)))
moments = st.none() | instants | turns
numbers = st.integers(0, 59).map(str)
crons = st.one_of(
    st.builds(lambda minute, hour, days: f"{minute} {hour} * * {days}", numbers, st.integers(0, 23), st.sampled_from(
        ["*", "1", "0", "1,3", "3,1", "1-5", "1,2,3,4,5", "0,6", "mon", "0,1,2,3,4,5,6", "7", "1,1"])),
    st.sampled_from(["@daily", " @Midnight ", "*/10 * * * * *", "00 03 * * *", "0  3 * * *", "0 3 1 * *", "0 3 L * *",
                     "0 3 * * mon#2", "0 3,15 * * *", "0 3 * * 1-5,0", '"<&>', "99 99 * * 1"]),
)  # fmt: skip
whens = st.one_of(
    st.builds(lambda cron: {"cron": cron}, crons),
    st.builds(lambda every: {"every": every / 1_000_000}, st.integers(1_000_000, 366 * 86_400_000_000)),
    st.builds(
        lambda every: {"every": float(every)}, st.sampled_from([1, 90, 300, 3600, 129_600, 86_400, 5400, 7 * 86400])
    ),
    st.builds(lambda run_at: {"run_at": run_at}, instants | turns),
    st.just({}),
)


@settings(deadline=None, max_examples=150)
@given(when=whens, zone=st.sampled_from(ZONES), starts_at=moments, ends_at=moments)
def test_what_is_shown_comes_back_as_it_was(when: Any, zone: str, starts_at: str | None, ends_at: str | None) -> None:
    """Whatever a row has, to the microsecond and in whichever zone: drawn, sent and read it is the same."""
    wanted = row(**when, timezone=zone, starts_at=starts_at, ends_at=ends_at)
    assert schedule_form.sent(browser(wanted)) == wanted


@settings(deadline=None, max_examples=50)
@given(when=whens, zone=st.sampled_from([*ZONES, "Mars/Base"]), starts_at=moments)
def test_a_form_that_comes_back_keeps_what_was_typed(when: Any, zone: str, starts_at: str | None) -> None:
    """A form with errors is drawn with each of its fields as it was sent."""
    first = browser(row(**when, timezone=zone, starts_at=starts_at))
    drawn = schedule_form.shown(None, first, {"cron": "no"})
    page = Fields()
    page.feed(template("schedule.html").render(schedule=drawn, url=lambda path: path))
    assert page.sent == {name: first.of(name) for name in first}


@pytest.mark.parametrize(
    ("settings_", "mode", "fields"),
    [
        ({"every": 90.0}, "every", {"every": "90", "every_unit": "seconds"}),
        ({"every": 1.5}, "every", {"every": "1.5", "every_unit": "seconds"}),
        ({"every": 300.0}, "every", {"every": "5", "every_unit": "minutes"}),
        ({"every": 129_600.0}, "every", {"every": "36", "every_unit": "hours"}),
        ({"every": 864_000.0}, "every", {"every": "10", "every_unit": "days"}),
        ({"cron": "30 7 * * *"}, "daily", {"daily_at": "07:30"}),
        ({"cron": "5 0 * * 1,3"}, "weekly", {"weekly_at": "00:05", "weekly_on": "3"}),
        ({"cron": "0 9 * * 1-5"}, "weekly", {"weekly_at": "09:00", "weekly_on": "5"}),
        ({"cron": "0 9 1 * *"}, "cron", {"cron": "0 9 1 * *"}),
        ({"cron": "@daily"}, "cron", {"cron": "@daily"}),
        ({"run_at": "2026-07-01T07:00:00Z", "timezone": "Europe/Berlin"}, "once", {"run_at": "2026-07-01T09:00:00"}),
        ({}, "by_hand", {}),
    ],
)
def test_the_mode_is_guessed_from_the_row(settings_: dict[str, Any], mode: str, fields: dict[str, str]) -> None:
    """Simple cron expressions are daily or weekly, an interval has the unit in which it is whole, once is wall time."""
    sent = browser(row(**settings_))
    assert sent["schedule"] == mode
    assert {name: sent[name] for name in fields} == fields


def test_a_new_row_begins_with_something_that_runs() -> None:
    """Every five minutes, in UTC; where rows know intervals only, nothing else is asked."""
    assert schedule_form.sent(browser(None)) == row(every=300.0)
    only = browser({"every": 30.0}, modes=("every",))
    assert set(only) == {"schedule", "every", "every_unit"}
    assert schedule_form.sent(only) == row(every=30.0)


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"schedule": "every", "every": "often", "every_unit": "hours"}, "every", "write a number"),
        ({"schedule": "every", "every": "1e9", "every_unit": "hours"}, "every", "write a number"),
        ({"schedule": "every", "every": "5", "every_unit": "moons"}, "every", "write a number"),
        ({"schedule": "daily", "daily_at": "25:00"}, "daily_at", "write a time of the day"),
        ({"schedule": "weekly", "weekly_at": "09:00"}, "weekly_on", "tick one day"),
        ({"schedule": "weekly", "weekly_at": "", "weekly_on": ["1"]}, "weekly_at", "write a time of the day"),
        ({"schedule": "cron", "cron": " "}, "cron", "write an expression"),
        ({"schedule": "once", "run_at": ""}, "run_at", "write a date and a time"),
        ({"schedule": "once", "run_at": "tomorrow"}, "run_at", "write a date and a time"),
        ({"schedule": "once", "run_at": "2026-02-30T00:00"}, "run_at", "write a date and a time"),
        ({"schedule": "never"}, "schedule", "choose when"),
        ({}, "schedule", "choose when"),
        ({"schedule": "by_hand", "timezone": "europe/berlin"}, "timezone", "Europe/Berlin"),
        ({"schedule": "by_hand", "timezone": ""}, "timezone", "unknown time zone"),
        ({"schedule": "by_hand", "ends_at": "\0"}, "ends_at", "write a date and a time"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_place(fields: dict[str, Any], place: str, said: str) -> None:
    """Each wrong field is named, and what to write into it."""
    assert said in problems(form(**fields))[place]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Errors of several fields come together."""
    sent = form(schedule="daily", daily_at="x", timezone="Mars/Base", starts_at="y")
    assert set(problems(sent)) == {"daily_at", "timezone", "starts_at"}


def test_clocks_that_change_are_said_beside_the_field() -> None:
    """A wall time that is skipped is refused; of one that comes twice, the two can be chosen from."""
    skipped = form(schedule="once", run_at="2026-03-29T02:30", timezone="Europe/Berlin")
    assert problems(skipped) == {
        "run_at": "the clocks of Europe/Berlin skip 02:30 on that day; write a time before or after"
    }
    fields = {"schedule": "once", "run_at": "2026-10-25T02:30", "timezone": "Europe/Berlin"}
    said = problems(form(**fields))
    assert "show 02:30 twice" in said["run_at"]
    drawn = schedule_form.shown(None, form(**fields), said)
    page = template("schedule.html").render(schedule=drawn, url=lambda path: path)
    assert "the first: 02:30 CEST (UTC+02:00)" in page
    assert "the second: 02:30 CET (UTC+01:00)" in page
    for which, instant in (("first", "2026-10-25T00:30:00Z"), ("second", "2026-10-25T01:30:00Z")):
        assert schedule_form.sent(form(**fields, run_at_pass=which))["run_at"] == instant


def test_errors_of_the_api_find_their_field() -> None:
    """An error about `cron` stands where people have chosen the time."""
    drawn = schedule_form.shown(row(cron="0 9 * * *"), None, {"cron": "too often"})
    assert drawn["errors"] == {"daily_at": "too often"}
