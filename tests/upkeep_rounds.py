"""What tests of upkeep share: rounds of some chores, as of any instant."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from include.settings import Settings
from include.shifts.upkeep import chores
from include.store.db import DictConnection
from include.store.upkeep import Done, Upkeep

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds a table locked does not try for long."""
    monkeypatch.setattr("include.store.upkeep._TRIES", 2)


async def round_of(
    database_url: str,
    *names: str,
    now: datetime = NOW,
    dry_run: bool = False,
    only_due: bool = False,
    log_folder: Path | None = None,
    **settings: Any,
) -> dict[str, Done] | None:
    """A round of these chores, or of all; what became of each."""
    chosen = [chore for chore in chores(log_folder) if not names or chore.name in names]
    upkeep = Upkeep(Settings(database_url=database_url, **settings), chosen)
    done = await upkeep.round(now, dry_run=dry_run, only_due=only_due)
    return None if done is None else {chore.chore: chore for chore in done}


async def changed(database_url: str, *names: str, **more: Any) -> list[int]:
    """How much each of these chores has changed; none has failed."""
    done = await round_of(database_url, *names, **more)
    assert done is not None
    assert not (errors := [chore.error for chore in done.values() if chore.error]), errors
    return [done[name].changed for name in names]


def execution(db: DictConnection, job_id: int, due: datetime, status: str = "success", **columns: Any) -> None:
    """An execution, as the ledger has it; finished when it was due, unless it is under way."""
    ended = None if status in ("running", "retrying") else due
    columns = {"job_id": job_id, "scheduled_for": due, "status": status, "finished_at": ended, **columns}
    names, marks = ", ".join(columns), ", ".join(f"%({column})s" for column in columns)
    values = {name: Jsonb(value) if isinstance(value, (dict, list)) else value for name, value in columns.items()}
    db.execute(f"insert into execution ({names}) values ({marks})", values)


def count(db: DictConnection, table: str, where: str = "true") -> int:
    [row] = db.execute(f"select count(*) as count from {table} where {where}").fetchall()
    return int(str(row["count"]))
