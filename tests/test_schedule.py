"""The rules of `include/schedule.py`, checked by example and against a brute-force reading of the same rules."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigError
from include.schedule import Schedule

UTC = timezone.utc
ANCHOR = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)

calm = settings(max_examples=120, deadline=None)
slow = settings(max_examples=60, deadline=None)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plan(**fields: Any) -> Schedule:
    made = Schedule(anchor=fields.pop("anchor", ANCHOR), salt=fields.pop("salt", 7), **fields)
    made.validate()
    return made


def listed(schedule: Schedule, after: str, until: str) -> list[str]:
    return [f"{found:%m-%d %H:%M:%S}".removesuffix(":00") for found in schedule.between(at(after), at(until))]


# --- The oracle: every instant of a window, mapped to the wall clock, asked one by one -------------------------------


@dataclass(frozen=True)
class Expression:
    """A cron expression as text and, apart from it, as the sets that it means; `seconds` None for five fields."""

    text: str
    hour_text: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int]

    def matches(self, wall: datetime) -> bool:
        return (
            wall.second in self.seconds
            and wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.isoweekday() % 7 in self.weekdays
        )


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """One field: its text, and what it means."""
    number = st.integers(low, high)
    everything = frozenset(range(low, high + 1))
    return st.one_of(
        st.just(("*", everything)),
        number.map(lambda one: (str(one), frozenset({one}))),
        st.lists(number, min_size=2, max_size=4, unique=True).map(
            lambda some: (",".join(map(str, some)), frozenset(some))
        ),
        st.tuples(number, number)
        .filter(lambda pair: pair[0] < pair[1])
        .map(lambda pair: (f"{pair[0]}-{pair[1]}", frozenset(range(pair[0], pair[1] + 1)))),
        st.integers(2, 30).map(lambda step: (f"*/{step}", frozenset(range(low, high + 1, step)))),
    )


@st.composite
def expressions(draw: st.DrawFn, *, seconds: bool) -> Expression:
    second_text, second_set = draw(field(0, 59)) if seconds else ("", frozenset({0}))
    minute_text, minute_set = draw(field(0, 59))
    hour_text, hour_set = draw(st.one_of(field(0, 23), field(0, 3)))
    if hour_text.startswith("*"):  # the text is read against the whole range, whatever the strategy drew it from
        hour_set = frozenset(range(0, 24, int(hour_text[2:] or 1)))
    day_text, day_set = draw(st.one_of(st.just(("*", frozenset(range(7)))), field(0, 6)))
    text = f"{second_text} {minute_text} {hour_text} * * {day_text}".strip()
    return Expression(text, hour_text, second_set, minute_set, hour_set, day_set)


@dataclass(frozen=True)
class Step:
    instant: datetime
    wall: datetime
    second_pass: bool
    missing: tuple[datetime, ...]


@cache
def walk(zone: str, begin: datetime, length: timedelta, pace: timedelta) -> tuple[Step, ...]:
    """Every instant of the window: its wall time, whether that came before, and the wall times just jumped over."""
    steps: list[Step] = []
    seen: set[datetime] = set()
    local: tzinfo = ZoneInfo(zone)
    last = (begin - pace).astimezone(local).replace(tzinfo=None)
    for count in range(length // pace):
        instant = begin + count * pace
        wall = instant.astimezone(local).replace(tzinfo=None)
        jumped = tuple(last + k * pace for k in range(1, (wall - last) // pace))
        steps.append(Step(instant, wall, wall in seen, jumped))
        seen.add(wall)
        last = wall
    return tuple(steps)


def expected(expression: Expression, steps: tuple[Step, ...]) -> list[datetime]:
    both = expression.hour_text.startswith("*")
    return [
        step.instant
        for step in steps
        if (expression.matches(step.wall) and (both or not step.second_pass))
        or any(expression.matches(wall) for wall in step.missing)
    ]


BY_MINUTE = [
    ("Europe/Berlin", at("2026-03-28 18:00")),
    ("Europe/Berlin", at("2026-10-24 18:00")),
    ("America/New_York", at("2026-03-08 00:00")),
    ("America/New_York", at("2026-11-01 00:00")),
    ("Australia/Lord_Howe", at("2026-04-04 09:00")),
    ("Australia/Lord_Howe", at("2026-10-03 09:00")),
    ("Africa/Casablanca", at("2026-02-14 21:00")),
    ("Africa/Casablanca", at("2026-03-21 21:00")),
    ("America/St_Johns", at("2026-11-01 00:00")),
    ("Pacific/Apia", at("2011-12-29 20:00")),
]
BY_SECOND = [
    ("Europe/Berlin", at("2026-03-29 00:30")),
    ("Europe/Berlin", at("2026-10-24 23:30")),
    ("America/New_York", at("2026-11-01 04:30")),
    ("Australia/Lord_Howe", at("2026-04-04 14:00")),
    ("Australia/Lord_Howe", at("2026-10-03 15:00")),
]


@calm
@given(expression=expressions(seconds=False), place=st.sampled_from(BY_MINUTE))
def test_nothing_is_skipped_or_added_around_a_clock_change(expression: Expression, place: tuple[str, datetime]) -> None:
    """A cron fires at exactly the minutes that a walk over every minute of the window finds by the written rule."""
    zone, begin = place
    length = 18 * HOUR
    schedule = plan(cron=expression.text, timezone=zone)
    found = list(schedule.between(begin - TICK, begin + length - TICK))
    assert found == expected(expression, walk(zone, begin, length, MINUTE))


@slow
@given(expression=expressions(seconds=True), place=st.sampled_from(BY_SECOND), start=st.integers(0, 9000))
def test_nothing_is_skipped_or_added_second_by_second(
    expression: Expression, place: tuple[str, datetime], start: int
) -> None:
    """With a seconds field the walk goes over every second; the search may begin anywhere in the window."""
    zone, begin = place
    after, length = begin + start * SECOND, 3 * HOUR
    schedule = plan(cron=expression.text, timezone=zone)
    wanted = [found for found in expected(expression, walk(zone, begin, length, SECOND)) if found > after][:40]
    found = list(islice(schedule.between(after, begin + length - SECOND), 40))
    assert found == wanted


# --- What holds for every schedule ------------------------------------------------------------------------------------

instants = st.timedeltas(timedelta(0), 1800 * DAY).map(lambda ahead: at("2025-01-01") + ahead)
around_changes = st.tuples(st.sampled_from(BY_MINUTE + BY_SECOND), st.timedeltas(timedelta(0), 12 * HOUR)).map(
    lambda drawn: drawn[0][1] + drawn[1]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
texts = st.one_of(
    expressions(seconds=False).map(lambda one: one.text),
    expressions(seconds=True).map(lambda one: one.text),
    st.sampled_from(["@hourly", "@weekly", "0 9 13 * fri", "0 0 L * *", "30 2 * * mon#2", "0 0 29 2 *", "15 2 * * L5"]),
)
windows = st.one_of(
    st.just((None, None)),
    instants.map(lambda one: (one, None)),
    instants.map(lambda one: (None, one)),
    st.tuples(instants, instants).filter(lambda pair: pair[0] < pair[1]),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    starts_at, ends_at = draw(windows)
    common: dict[str, Any] = {"starts_at": starts_at, "ends_at": ends_at, "salt": draw(st.integers(1, 10**9))}
    what = draw(st.sampled_from(["cron", "cron", "every", "run_at", "none"]))
    if what == "cron":
        return plan(cron=draw(texts), timezone=draw(zones), **common)
    if what == "every":
        return plan(every=draw(st.timedeltas(SECOND, 40 * DAY)), anchor=draw(instants), **common)
    if what == "run_at":
        return Schedule(ANCHOR, 7, run_at=draw(instants), starts_at=starts_at, ends_at=ends_at)
    return plan(**common)


@calm
@given(schedule=schedules(), after=st.one_of(instants, around_changes))
def test_the_next_is_always_later(schedule: Schedule, after: datetime) -> None:
    """`next_after` is strictly later than what it is asked about, in plain UTC, inside the window; nothing between."""
    for _ in range(5):
        found = schedule.next_after(after)
        if found is None:
            return
        assert found > after
        assert found.tzinfo is UTC
        assert schedule.starts_at is None or found >= schedule.starts_at
        assert schedule.ends_at is None or found < schedule.ends_at
        assert schedule.next_after(after + (found - after) / 2) == found
        after = found


@calm
@given(schedule=schedules(), after=st.one_of(instants, around_changes), count=st.integers(0, 12))
def test_the_four_questions_agree(schedule: Schedule, after: datetime, count: int) -> None:
    """`between`, `next_after`, `latest_until` and `is_occurrence` tell one story."""
    found = list(islice(schedule.between(after, after + 3000 * DAY), count + 1))
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(schedule.is_occurrence(one) for one in found)
    assert not any(schedule.is_occurrence(one + TICK) for one in found)
    for number, one in enumerate(found):
        assert schedule.latest_until(one, after) == one
        assert schedule.latest_until(one - TICK, after) == (found[number - 1] if number else None)
        assert schedule.latest_until(one, one) is None


@calm
@given(schedule=schedules(), until=st.one_of(instants, around_changes), back=st.timedeltas(timedelta(0), 1500 * DAY))
def test_the_latest_is_the_last_before(schedule: Schedule, until: datetime, back: timedelta) -> None:
    """However far back `after` lies, nothing follows the answer of `latest_until`; None only if there is nothing."""
    found = schedule.latest_until(until, until - back)
    if found is None:
        assert next(schedule.between(until - back, until), None) is None
    else:
        assert until - back < found <= until
        assert schedule.is_occurrence(found)
        assert next(schedule.between(found, until), None) is None


@calm
@given(schedule=schedules(), offset=st.integers(-23, 23), instant=instants)
def test_the_zone_of_the_question_does_not_matter(schedule: Schedule, offset: int, instant: datetime) -> None:
    """An instant given in another zone, or as a subclass of datetime, gets the same answer."""

    class Odd(datetime):
        """As pendulum's: a datetime whose subtraction gives no plain timedelta."""

        def __sub__(self, other: Any) -> Any:
            raise AssertionError("arithmetic of a subclass was used")

    moved = instant.astimezone(timezone(offset * HOUR))
    odd = Odd.combine(instant.date(), instant.time(), UTC)
    assert schedule.next_after(moved) == schedule.next_after(odd) == schedule.next_after(instant)
    assert type(schedule.next_after(odd)) in (datetime, type(None))


def test_a_naive_instant_is_refused() -> None:
    """An instant without a zone is an error, never a guess at the zone of this machine."""
    for schedule in (plan(cron="0 9 * * *"), plan(every=HOUR), plan(run_at=at("2026-05-01"))):
        with pytest.raises(TypeError):
            schedule.next_after(datetime(2026, 1, 1))


# --- Every ------------------------------------------------------------------------------------------------------------


@calm
@given(
    every=st.timedeltas(SECOND, 400 * DAY),
    anchor=instants,
    salt=st.integers(1, 2**62),
    number=st.integers(0, 10**6),
)
def test_every_never_drifts(every: timedelta, anchor: datetime, salt: int, number: int) -> None:
    """Occurrence n is the first plus n times the rate, to the microsecond; the first is within one step of the row."""
    schedule = plan(every=every, anchor=anchor, salt=salt)
    first = schedule.next_after(anchor)
    assert first is not None
    assert anchor < first <= anchor + every
    assert schedule.next_after(anchor - 1000 * DAY) == first
    spread = anchor.replace(microsecond=0) + every - first
    assert spread % timedelta(milliseconds=1) == timedelta(0) or (first - every) <= anchor
    nth = first + number % 1000 * every
    assert schedule.is_occurrence(nth)
    assert schedule.next_after(nth) == nth + every


def test_every_from_starts_at() -> None:
    """With `starts_at` the first occurrence is `starts_at` itself, whenever the row was created and whatever its id."""
    for salt in (1, 2):
        schedule = plan(every=timedelta(seconds=1.5), starts_at=at("2026-02-01 00:00:00.000123"), salt=salt)
        found = list(schedule.between(at("2020-01-01"), at("2026-02-01 00:00:04")))
        assert [f"{one:%S.%f}" for one in found] == ["00.000123", "01.500123", "03.000123"]


def test_every_until_ends_at() -> None:
    """`ends_at` itself is no occurrence, and `latest_until` stays before it."""
    schedule = plan(every=10 * SECOND, starts_at=at("2026-02-01 00:00:00"), ends_at=at("2026-02-01 00:00:30"))
    assert listed(schedule, "2026-01-01", "2027-01-01") == ["02-01 00:00", "02-01 00:00:10", "02-01 00:00:20"]
    assert schedule.latest_until(at("2027-01-01"), at("2020-01-01")) == at("2026-02-01 00:00:20")


def test_cron_window_is_half_open() -> None:
    """For cron too, `starts_at` is the first instant that may fire and `ends_at` the first that may not."""
    schedule = plan(cron="0 * * * *", starts_at=at("2026-02-01 01:00"), ends_at=at("2026-02-01 03:00"))
    assert listed(schedule, "2026-01-01", "2027-01-01") == ["02-01 01:00", "02-01 02:00"]
    assert schedule.latest_until(at("2027-01-01"), at("2020-01-01")) == at("2026-02-01 02:00")


@pytest.mark.parametrize("every", [SECOND, 5 * SECOND, MINUTE, HOUR, DAY])
def test_rows_created_together_are_spread(every: timedelta) -> None:
    """A thousand rows created at one instant get first occurrences all over one step, or one minute if that is less."""
    firsts = [plan(every=every, salt=salt).next_after(ANCHOR) for salt in range(1000)]
    known = [first for first in firsts if first is not None]
    reach = min(every, MINUTE)
    assert max(known) - min(known) > 0.98 * reach
    buckets = [0] * 10
    for first in known:
        buckets[int((first - min(known)) / reach * 10)] += 1
    assert min(buckets) > 50


def test_a_spread_of_almost_one_step_is_not_before_the_row() -> None:
    """Where the spread would put the first occurrence before the row's own creation, it is one step later."""
    for anchor in (at("2026-01-01 12:00:00.999999"), at("2026-01-01 12:00:00.500000")):
        for salt in range(5000):
            first = Schedule(anchor, salt, every=SECOND).next_after(at("2020-01-01"))
            assert first is not None
            assert anchor < first <= anchor + SECOND


def test_the_hash_is_the_same_everywhere() -> None:
    """Spread and jitter are a contract: every process, and every later version, computes the same instants."""
    script = (
        "from datetime import datetime, timedelta, timezone\n"
        "from include.schedule import Schedule\n"
        "t = datetime(2026, 1, 1, tzinfo=timezone.utc)\n"
        "s = Schedule(t, 42, every=timedelta(minutes=5), jitter=timedelta(seconds=10))\n"
        "print(s.next_after(t).isoformat(), s.delay(t))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "2026-01-01T00:04:33.903000+00:00 0:00:02.756089"


# --- Cron -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("0 9 * * mon-fri", ["01-05 09:00", "01-06 09:00"]),
        ("*/20 * * * *", ["01-05 00:00", "01-05 00:20"]),
        ("*/20 * * * * *", ["01-05 00:00", "01-05 00:00:20"]),
        ("15 30 8 * * *", ["01-05 08:30:15", "01-06 08:30:15"]),
        ("0 0 1 jan,MAR *", ["03-01 00:00", "01-01 00:00"]),
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00"]),
        ("0 0 * * fri#1", ["02-06 00:00", "03-06 00:00"]),
        ("0 0 * * L5", ["01-30 00:00", "02-27 00:00"]),
        ("0 0 * * 7", ["01-11 00:00", "01-18 00:00"]),
        ("0 0 * * 0-7", ["01-05 00:00", "01-06 00:00"]),
        ("0 0 13 * fri", ["01-09 00:00", "01-13 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00"]),
        ("@hourly", ["01-05 00:00", "01-05 01:00"]),
        ("@daily", ["01-05 00:00", "01-06 00:00"]),
        (" @Midnight ", ["01-05 00:00", "01-06 00:00"]),
        ("@weekly", ["01-11 00:00", "01-18 00:00"]),
        ("@monthly", ["02-01 00:00", "03-01 00:00"]),
        ("@yearly", ["01-01 00:00", "01-01 00:00"]),
        ("@annually", ["01-01 00:00", "01-01 00:00"]),
    ],
)
def test_cron_syntax(cron: str, wanted: list[str]) -> None:
    """Five fields, six with the seconds first, names, macros, `L` and `#`; day of month and day of week are ORed."""
    found = islice(plan(cron=cron).between(at("2026-01-04 23:59:59"), at("2040-01-01")), 2)
    assert [f"{one:%m-%d %H:%M:%S}".removesuffix(":00") for one in found] == wanted


BERLIN_GAP = ("2026-03-29 00:00", "2026-03-29 02:00")  # 02:00 +01:00 becomes 03:00 +02:00 at 01:00 UTC
BERLIN_FOLD = ("2026-10-24 23:30", "2026-10-25 02:00")  # 03:00 +02:00 becomes 02:00 +01:00 at 01:00 UTC


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("30 2 * * *", ["03-29 01:00"]),
        ("0 3 * * *", ["03-29 01:00"]),
        ("10,20,50 2 * * *", ["03-29 01:00"]),
        ("30 2,3 * * *", ["03-29 01:00", "03-29 01:30"]),
        ("*/30 * * * *", ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"]),
        ("0 30 2 * * *", ["03-29 01:00"]),
    ],
)
def test_a_wall_time_that_does_not_exist_fires_when_the_gap_ends(cron: str, wanted: list[str]) -> None:
    """Nothing is lost when the clocks go forward, and what falls together is one occurrence."""
    assert listed(plan(cron=cron, timezone="Europe/Berlin"), *BERLIN_GAP) == wanted


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("30 2 * * *", ["10-25 00:30"]),
        ("0 2,3 * * *", ["10-25 00:00", "10-25 02:00"]),
        ("30 * * * *", ["10-25 00:30", "10-25 01:30"]),
        ("30 */2 * * *", ["10-25 00:30", "10-25 01:30"]),
        ("@hourly", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("*/30 2 * * *", ["10-25 00:00", "10-25 00:30"]),
        ("0 30 * * * *", ["10-25 00:30", "10-25 01:30"]),
    ],
)
def test_a_wall_time_that_comes_twice_fires_twice_only_where_the_hour_is_open(cron: str, wanted: list[str]) -> None:
    """When the clocks go back, an hour field that starts with `*` has no hole; any other fires once."""
    assert listed(plan(cron=cron, timezone="Europe/Berlin"), *BERLIN_FOLD) == wanted


@calm
@given(place=st.sampled_from(BY_MINUTE), start=st.integers(0, 18 * 60), data=st.data())
def test_a_search_may_begin_anywhere(place: tuple[str, datetime], start: int, data: st.DataObject) -> None:
    """Asked from inside a gap's edge, a first pass or a second pass, the next occurrence is still the nearest one."""
    zone, begin = place
    after, steps = begin + start * MINUTE, walk(zone, begin, 18 * HOUR, MINUTE)
    near = steps[min(start + data.draw(st.integers(0, 90)), len(steps) - 1)].wall
    hour_text = data.draw(st.sampled_from(["*", str(near.hour), f"{near.hour},{(near.hour + 2) % 24}"]))
    hours = frozenset(range(24)) if hour_text == "*" else frozenset(map(int, hour_text.split(",")))
    minutes, everything = frozenset({near.minute}), frozenset(range(7))
    expression = Expression(f"{near.minute} {hour_text} * * *", hour_text, frozenset({0}), minutes, hours, everything)
    wanted = [found for found in expected(expression, steps) if found > after]
    until = begin + 18 * HOUR - TICK
    assert list(plan(cron=expression.text, timezone=zone).between(after, until)) == wanted


def test_the_second_pass_of_a_fixed_hour_is_no_occurrence() -> None:
    """Asked in the middle of the repeated hour, an expression with a fixed hour waits for the next day."""
    schedule = plan(cron="30 2 * * *", timezone="Europe/Berlin")
    assert not schedule.is_occurrence(at("2026-10-25 01:30"))
    assert schedule.next_after(at("2026-10-25 01:00")) == at("2026-10-26 01:30")


def test_a_day_that_does_not_exist() -> None:
    """Samoa had no 30 December 2011: its daily run comes at the instant at which that day would have ended."""
    schedule = plan(cron="0 9 * * *", timezone="Pacific/Apia")
    moved = at("2011-12-30 10:00")
    assert list(schedule.between(at("2011-12-29 12:00"), at("2011-12-31 00:00"))) == [
        at("2011-12-29 19:00"),
        moved,
        at("2011-12-30 19:00"),
    ]
    assert schedule.oddity(moved) == "moved from 2011-12-30 09:00, which does not exist"


@pytest.mark.parametrize(
    ("cron", "instant", "wanted"),
    [
        ("30 2 * * *", "2026-03-29 01:00", "moved from 02:30, which does not exist"),
        ("15 30 2 * * *", "2026-03-29 01:00", "moved from 02:30:15, which does not exist"),
        ("*/30 * * * *", "2026-03-29 01:00", None),
        ("0 3 * * *", "2026-03-29 01:00", None),
        ("30 2 * * *", "2026-03-30 00:30", None),
        ("30 * * * *", "2026-10-25 00:30", "first of two"),
        ("30 * * * *", "2026-10-25 01:30", "second of two"),
        ("30 2 * * *", "2026-10-25 00:30", "first of two passes"),
        ("30 3 * * *", "2026-10-25 02:30", None),
    ],
)
def test_oddities_are_named(cron: str, instant: str, wanted: str | None) -> None:
    """A listing can say what a change of the clocks did to an occurrence, and says nothing about ordinary ones."""
    schedule = plan(cron=cron, timezone="Europe/Berlin")
    assert schedule.is_occurrence(at(instant))
    assert schedule.oddity(at(instant)) == wanted


def test_only_cron_has_oddities() -> None:
    """A fixed rate and a single instant do not look at the wall clock."""
    assert plan(every=HOUR, timezone="Europe/Berlin").oddity(at("2026-10-25 00:30")) is None


def test_threads_do_not_disturb_each_other() -> None:
    """One parsed expression may be asked from many threads at once: each gets the answer to its own question."""
    schedule = plan(cron="*/7 3-20 * * mon-fri", timezone="Europe/Berlin")
    questions = [at("2026-01-01") + number * 7919 * SECOND for number in range(2000)]
    answers = [schedule.next_after(question) for question in questions]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(schedule.next_after, questions)) == answers
    finally:
        sys.setswitchinterval(usual)


WALKS = [(*place, 18 * HOUR) for place in BY_MINUTE] + [(*place, 3 * HOUR) for place in BY_SECOND]


@pytest.mark.parametrize(("zone", "begin", "length"), WALKS)
def test_each_window_of_the_walk_holds_a_clock_change(zone: str, begin: datetime, length: timedelta) -> None:
    """The brute-force comparison looks where it is hard: the offset changes inside every window it walks."""
    first, last = (instant.astimezone(ZoneInfo(zone)) for instant in (begin, begin + length))
    assert first.utcoffset() != last.utcoffset()


# --- Once, by hand, jitter, descriptions ------------------------------------------------------------------------------


def test_once() -> None:
    """A single instant is due once, at that instant."""
    moment = at("2026-05-01 08:00:00.500000")
    schedule = plan(run_at=moment, starts_at=moment, ends_at=moment + TICK)
    assert list(schedule.between(at("2020-01-01"), at("2030-01-01"))) == [moment]
    assert schedule.next_after(moment) is None
    assert schedule.latest_until(moment - TICK, at("2020-01-01")) is None


def test_by_hand() -> None:
    """A row with no schedule is never due by itself."""
    schedule = plan()
    assert schedule.next_after(ANCHOR) is None
    assert schedule.latest_until(at("2030-01-01"), ANCHOR) is None
    assert not schedule.is_occurrence(ANCHOR)


@calm
@given(jitter=st.timedeltas(timedelta(0), 2 * DAY), salt=st.integers(0, 2**62), occurrence=instants)
def test_jitter_is_fixed_and_in_range(jitter: timedelta, salt: int, occurrence: datetime) -> None:
    """The delay of an occurrence is the same on every call, in every zone, at least 0 and less than the jitter."""
    schedule = plan(cron="* * * * *", jitter=jitter, salt=salt)
    delay = schedule.delay(occurrence)
    assert delay == schedule.delay(occurrence.astimezone(ZoneInfo("Asia/Tokyo")))
    assert timedelta(0) <= delay < jitter or delay == jitter == timedelta(0)


def test_jitter_differs_by_row_and_by_occurrence() -> None:
    """Rows with one schedule do not fire together, and one row is not always the last; the occurrence stays nominal."""
    days = [at("2026-01-01") + number * DAY for number in range(50)]
    rows = [plan(cron="0 0 * * *", jitter=HOUR, salt=salt) for salt in range(50)]
    assert len({row.delay(days[0]) for row in rows}) == 50
    assert len({rows[0].delay(day) for day in days}) == 50
    assert rows[0].is_occurrence(days[0])


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"every": 5 * SECOND}, True),
        ({"every": MINUTE - TICK}, True),
        ({"every": MINUTE}, False),
        ({"cron": "* * * * *"}, False),
        ({"cron": "0 * * * * *"}, False),
        ({"cron": "0,0 * * * * *"}, False),
        ({"cron": "*/60 * * * * *"}, False),
        ({"cron": "0,30 * * * * *"}, True),
        ({"cron": "* 0 9 * * *"}, True),
        ({"cron": "*/20 * * * * *"}, True),
        ({"cron": "@hourly"}, False),
        ({"run_at": ANCHOR}, False),
        ({}, False),
    ],
)
def test_fast_means_more_than_once_a_minute(fields: dict[str, Any], wanted: bool) -> None:
    """Sixty seconds exactly is not fast; a seconds field counts by what it means, not by how it is written."""
    assert plan(**fields).is_fast is wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"every": 5 * SECOND}, "every 5 s"),
        ({"every": timedelta(seconds=1.5)}, "every 1.5 s"),
        ({"every": 90 * MINUTE}, "every 90 min"),
        ({"every": 2 * HOUR}, "every 2 h"),
        ({"every": 7 * DAY}, "every 7 d"),
        ({"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin"}, "cron 0 9 * * mon-fri (Europe/Berlin)"),
        ({"run_at": at("2026-01-01 09:00")}, "once at 2026-01-01 09:00:00 UTC"),
        ({}, "by hand"),
    ],
)
def test_descriptions_are_short_readings(fields: dict[str, Any], wanted: str) -> None:
    """People read the schedule as they would say it."""
    assert plan(**fields).describe() == wanted


# --- What is refused --------------------------------------------------------------------------------------------------

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


def test_schedules_compare_by_value() -> None:
    """Two rows with the same settings are equal, so that an unchanged schedule is seen as unchanged."""
    first = plan(cron="0 9 * * *")
    assert first == plan(cron="0 9 * * *")
    assert replace(first, jitter=SECOND) != first
    assert first.next_after(datetime.combine(date(2026, 1, 1), datetime.min.time(), UTC)) == at("2026-01-01 09:00")
