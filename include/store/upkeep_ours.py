"""The chores in Millrace's own tables."""

from __future__ import annotations

from datetime import date
from functools import partial

import psycopg

from include.store.upkeep import Chore, Work, patiently, sweeping

_LEDGER_LOCK = b"set lock_timeout = '0.1s'"  # every claim waits behind whoever waits for the ledger alone


async def _days_ahead(work: Work) -> None:
    """Partitions for the week to come, and for what had to be put where there was none."""
    await work.db.execute(_LEDGER_LOCK)
    for row in await work.rows("missing_days"):
        if not work.dry_run:
            await patiently(partial(_make_day, work, row["day"]))
        work.changed += 1


async def _make_day(work: Work, day: date) -> None:
    async with work.db.transaction():
        await work.rows("lock_ledger")
        await work.rows("make_day", day=day)


async def _old_days(work: Work) -> None:
    """Days of the ledger that are too old; what must stay of them is moved, until that is no longer so."""
    await work.db.execute(_LEDGER_LOCK)
    for row in await work.rows("old_days"):
        if not work.dry_run:
            await patiently(partial(work.rows, "drop_day", day=row["day"]))
        work.changed += 1


async def _records(work: Work) -> None:
    """Records below every watermark: first their log begins later, then they go, for nobody comes back to them."""
    locked: psycopg.Error | None = None
    for connector in await work.rows("logs"):
        try:
            await _prune(work, connector["id"])
        except psycopg.errors.LockNotAvailable as error:  # the records of others need not wait for this connector
            locked = error
    if locked is not None:
        raise locked


async def _prune(work: Work, connector_id: int) -> None:
    if work.dry_run:
        [row] = await work.rows("prunable", connector_id=connector_id)
        work.changed += row["found"]
        return
    [row] = await patiently(partial(work.rows, "prune_log", connector_id=connector_id))
    if row["up_to"] is not None:
        await work.sweep("records", connector_id=connector_id, up_to=row["up_to"])


CHORES = (
    Chore("days_ahead", "days of the ledger made", _days_ahead),
    Chore("old_days", "days of the ledger dropped", _old_days),
    sweeping("old_executions", "executions of dropped days removed"),
    Chore("records", "records removed", _records),
    sweeping("keys", "keys of removed records forgotten"),
    sweeping("deliveries", "ids of deliveries forgotten"),
    sweeping("dead_letters", "resolved dead letters of workflows removed"),
    sweeping("timers", "timers removed"),
    sweeping("audit", "entries of the audit removed"),
    sweeping("notices", "notices removed"),
    sweeping("channels", "channels of notices removed"),
    sweeping("answers", "answers to repeated requests forgotten"),
    sweeping("trials", "trials forgotten"),
    sweeping("leases", "leases of the dead removed"),
    sweeping("turns", "turns on rows that are gone removed"),
    sweeping("tallies", "tallies folded"),
)
