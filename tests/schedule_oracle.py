"""What tests of schedules share: schedules at random, and a brute-force reading of the written rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from include.schedule import Schedule
from include.time_zones import zone_named

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
    local: tzinfo = zone_named(zone)
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
    ("Antarctica/Troll", at("2026-03-28 18:00")),
    ("Antarctica/Troll", at("2026-10-24 18:00")),
    ("America/Sao_Paulo", at("2018-11-03 18:00")),
    ("America/Sao_Paulo", at("2019-02-16 18:00")),
]
BY_SECOND = [
    ("Europe/Berlin", at("2026-03-29 00:30")),
    ("Europe/Berlin", at("2026-10-24 23:30")),
    ("America/New_York", at("2026-11-01 04:30")),
    ("Australia/Lord_Howe", at("2026-04-04 14:00")),
    ("Australia/Lord_Howe", at("2026-10-03 15:00")),
]


# --- Any instant, any schedule ---------------------------------------------------------------------------------------

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
