"""Jobs that have been there for a while, for tests of what they owe."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

from include.store.db import DictConnection
from tests.test_store import add_job

NOW = datetime.now(timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

_numbers = count()


def old_job(db: DictConnection, since: timedelta = 2 * HOUR, **columns: Any) -> int:
    """A job that was created, with its schedule, so long ago."""
    job_id = add_job(db, **{"name": f"job {next(_numbers)}", "created_at": NOW - 30 * HOUR, **columns})
    db.execute("alter table job disable trigger user")
    db.execute(
        "update job set schedule_changed_at = %s, updated_at = %s where id = %s", (NOW - since, NOW - since, job_id)
    )
    db.execute("alter table job enable trigger user")
    return job_id


def account(db: DictConnection, job_id: int, due: datetime, **columns: Any) -> None:
    """A row in the ledger."""
    values = {"job_id": job_id, "scheduled_for": due, "status": "success", "finished_at": due, **columns}
    db.execute(
        f"insert into execution ({', '.join(values)}) values ({', '.join(['%s'] * len(values))})", [*values.values()]
    )
