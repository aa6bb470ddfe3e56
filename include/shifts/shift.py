"""What a shift is told when it starts, and what it says when it ends."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Shift:
    """One Airflow run on duty for one row of `table`. `due` is its first occurrence; `by_hand` runs act at once.

    `conf` overrides fields of the payload (runs by hand only). `try_number` is Airflow's, counted from 1, and after
    `is_last_try` it makes no further one. `token` names this very shift in its claims, so that it is told from another
    one, here or elsewhere, that is on the same run.
    """

    row_id: int
    due: datetime
    run_id: str
    try_number: int
    by_hand: bool = False
    conf: dict[str, Any] = field(default_factory=dict)
    table: str = "job"
    is_last_try: bool = False
    token: int = field(default_factory=lambda: secrets.randbits(62))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a shift ended. `retry`: Airflow shall try the run again, not before `after_seconds` if that is given.

    `worker`: it has not begun, for it is to be done on a worker.
    """

    state: Literal["success", "failed", "skipped", "retry", "worker"]
    line: str
    after_seconds: float | None = None
