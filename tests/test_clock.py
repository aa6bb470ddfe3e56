"""Instants are read by the machine's clock while it agrees with the database's, and by that one where it does not."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest

from include.clock import Clock, of_process, steady_seconds
from include.store.ledger import Ledger

HOUR = timedelta(hours=1)
MOMENT = timedelta(seconds=30)


def _is_near(seen: datetime, by: timedelta) -> bool:
    return abs(seen - datetime.now(timezone.utc) - by) < MOMENT


def test_the_machines_clock_counts_while_it_agrees() -> None:
    """To the microsecond, whatever the look at the other one was wrong by."""
    clock = Clock()
    clock.compare(datetime.now(timezone.utc) + timedelta(milliseconds=100), asked_at=steady_seconds())
    before = datetime.now(timezone.utc)
    assert before <= clock.utcnow() <= datetime.now(timezone.utc)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_the_databases_clock_counts_where_they_differ(by: timedelta) -> None:
    """Ahead of it or behind, and the time goes on from there; once they agree again, the machine's own counts."""
    clock = Clock()
    clock.compare(datetime.now(timezone.utc) + by, asked_at=steady_seconds())
    first = clock.utcnow()
    assert _is_near(first, by)
    assert clock.utcnow() > first
    clock.compare(datetime.now(timezone.utc), asked_at=steady_seconds())
    assert _is_near(clock.utcnow(), timedelta(0))


def test_it_is_never_ahead_of_the_databases_clock() -> None:
    """Nobody knows when, on its way, it was read; whoever waits for an instant would rather be late than early."""
    clock, answered = Clock(), datetime.now(timezone.utc) + HOUR
    clock.compare(answered, asked_at=steady_seconds() - 0.2)
    assert clock.utcnow() <= datetime.now(timezone.utc) + HOUR


def test_an_answer_that_took_long_says_nothing() -> None:
    """Nobody knows when in between the clock was read."""
    clock = Clock()
    clock.compare(datetime.now(timezone.utc) + HOUR, asked_at=steady_seconds() - 10)
    assert _is_near(clock.utcnow(), timedelta(0))


async def test_a_process_looks_at_the_databases_clock_whenever_it_renews_its_lease(database_url: str) -> None:
    """However wrong its own is by then."""
    looked_at = of_process.seen
    ledger = Ledger(database_url, lease_seconds=2)
    await ledger.open()
    try:
        while of_process.seen is looked_at:
            await asyncio.sleep(0.01)
    finally:
        await ledger.close()
    assert of_process.seen is not None
    assert _is_near(of_process.seen[0], timedelta(0))
