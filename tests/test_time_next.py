"""`./millrace jobs next` shows what a change of the clocks does to each fire, by the written rule of `schedule.py`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from include.store.db import DictConnection
from tests.job_commands import URL, Run, document, environment, run

__all__ = ["environment", "run"]

FIRST_PASS = "first of two passes"


def gone(wall: str) -> str:
    return f"moved from {wall}, which does not exist"


# Clocks of 2031, both changes: from a wall time that is jumped over, and at one that comes twice.
BOTH_CHANGES = [
    (
        "Europe/Berlin",
        "30 2 25-31 3,10 *",
        {"2031-03-30T03:00:00+02:00": gone("02:30"), "2031-10-26T02:30:00+02:00": FIRST_PASS},
    ),
    (
        "America/New_York",
        "30 1,2 2,9 3,11 *",
        {"2031-03-09T03:00:00-04:00": gone("02:30"), "2031-11-02T01:30:00-04:00": FIRST_PASS},
    ),
    (
        "Australia/Lord_Howe",
        "15,45 1,2 5-6 4,10 *",
        {"2031-04-06T01:45:00+11:00": FIRST_PASS, "2031-10-05T02:30:00+11:00": gone("02:15")},
    ),
    (
        "Europe/Dublin",
        "30 1 26,30 3,10 *",
        {"2031-03-30T02:00:00+01:00": gone("01:30"), "2031-10-26T01:30:00+01:00": FIRST_PASS},
    ),
    (
        "Antarctica/Troll",
        "30 1,2 26,30 3,10 *",
        {
            "2031-03-30T03:00:00+02:00": gone("01:30"),
            "2031-10-26T01:30:00+02:00": FIRST_PASS,
            "2031-10-26T02:30:00+02:00": FIRST_PASS,
        },
    ),
    ("America/Sao_Paulo", "0 0 * 2,10,11 sun", {}),
    ("Pacific/Apia", "30 2 * 4,9 sun", {}),
]


@pytest.mark.parametrize(("zone", "cron", "odd"), BOTH_CHANGES, ids=[case[0] for case in BOTH_CHANGES])
def test_both_changes_are_marked(run: Run, db: DictConnection, zone: str, cron: str, odd: dict[str, str]) -> None:
    """Of twenty fires exactly the odd ones have a mark, which says what happened, in the table and in JSON."""
    run("add", "a", "ping", "--cron", cron, "--timezone", zone, "--set", URL)
    db.execute("update job set starts_at = '2031-01-01'")
    fires = document(run("next", "a", "-n", "20", "--json"))
    assert len(fires) == 20
    marks = {fire["local"]: fire["oddity"] for fire in fires if fire["oddity"] and fire["local"] < "2032"}
    assert marks == odd
    header, *lines = run("next", "a", "-n", "20").stdout.splitlines()
    assert header.split() == ["UTC", zone, "jitter", "note"]
    assert [line[line.index(fire["oddity"]) :] for line, fire in zip(lines, fires, strict=True) if fire["oddity"]] == [
        fire["oddity"] for fire in fires if fire["oddity"]
    ]
    for line, fire in zip(lines, fires, strict=True):
        assert datetime.fromisoformat(fire["local"]) == datetime.fromisoformat(fire["scheduled_for"])
        assert line.startswith(fire["scheduled_for"][:19].replace("T", " "))
        assert fire["local"][:19].replace("T", " ") in line


@pytest.mark.parametrize(
    ("zone", "cron", "starts_at", "step"),
    [
        ("Europe/Berlin", "30 * * * *", "2031-10-25 23:30+00", timedelta(hours=1)),
        ("America/New_York", "*/30 */1 * * *", "2031-11-02 04:30+00", timedelta(minutes=30)),
        ("Australia/Lord_Howe", "*/15 * * * *", "2031-04-05 14:30+00", timedelta(minutes=15)),
        ("Europe/Dublin", "0 * * * *", "2031-10-25 23:00+00", timedelta(hours=1)),
        ("Antarctica/Troll", "0 * * * *", "2031-10-25 22:00+00", timedelta(hours=1)),
    ],
)
def test_an_open_hour_has_no_hole_and_both_passes_are_told_apart(
    run: Run, db: DictConnection, zone: str, cron: str, starts_at: str, step: timedelta
) -> None:
    """With `*` as the hour, fires keep one pace; where a wall time comes twice, each says which of the two it is."""
    run("add", "a", "ping", "--cron", cron, "--timezone", zone, "--set", URL)
    db.execute("update job set starts_at = %s", (starts_at,))
    fires = document(run("next", "a", "-n", "20", "--json"))
    instants = [datetime.fromisoformat(fire["scheduled_for"]) for fire in fires]
    assert instants == [instants[0] + number * step for number in range(20)]
    walls = [fire["local"][:19] for fire in fires]
    seen: set[str] = set()
    for fire, wall in zip(fires, walls, strict=True):
        twice = walls.count(wall) == 2
        assert fire["oddity"] == ("second of two" if wall in seen else "first of two" if twice else "")
        seen.add(wall)
    assert len(seen) < len(walls)


def test_a_fixed_delay_is_said_to_depend_on_the_last_execution(run: Run, db: DictConnection) -> None:
    """What cannot be known is not shown as if it were: a note on stderr, and stdout stays one document."""
    run("add", "a", "ping", "--every", "5m", "--fixed-delay", "--set", URL)
    run("add", "b", "ping", "--every", "5m", "--set", URL)
    table, listed = run("next", "a", "-n", "3"), run("next", "a", "-n", "3", "--json")
    for result in (table, listed):
        assert "counted from the end of the last execution" in result.stderr
    assert len(table.stdout.splitlines()) == 4
    assert len(json.loads(listed.stdout)) == 3
    assert run("next", "b").stderr == ""


def test_fires_begin_when_a_pause_ends(run: Run, db: DictConnection) -> None:
    """What falls before `paused_until` is not listed, what falls on it is."""
    run("add", "a", "ping", "--cron", "0 9 * * *", "--timezone", "Europe/Berlin", "--set", URL)
    db.execute("update job set paused_until = '2031-03-30 07:00+00'")
    [first] = document(run("next", "a", "-n", "1", "--json"))
    assert first["local"] == "2031-03-30T09:00:00+02:00"
